import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { PeerStatus } from '../../control/index.ts'
import type { FederationEvent } from '../../federation/index.ts'
import { loadOrCreateIdentity } from '../../identity/index.ts'
import { formatBytes, joinSignals, OwmError, sleep, withTimeout } from '../../lib/index.ts'
import { createMeshStore, createPrivateMesh } from '../../network/index.ts'
import { defaultModel, heldOutText, ngramBitsPerByte, readText } from '../../training/index.ts'
import { short, type Terminal } from '../terminal.ts'
import { checkKill, type DevnetOptions } from './index.ts'
import { codeExtensions, installedPackages, partsOf, shareOut, type TextFolder } from './packages.ts'
import { type PeerProcess, startPeerProcess } from './peer-process.ts'
import { createProgress, type Progress } from './progress.ts'
import { createRecord, type Record, rounded } from './report.ts'

const projectRoot = resolve(fileURLToPath(new URL('../../..', import.meta.url)))
const folderPrefix = 'owm-devnet-'

/** Text each peer trains on: enough not to be seen twice in a minute, little enough to read in a second. */
const maxDataBytes = 6 * 1024 * 1024
/** The public text on which every checkpoint is measured: large enough for two digits, small enough for half a second. */
const heldOutBytes = 32 * 1024
/** 12 files of 256 are kept from training, and the public text is made of them. */
const heldOutShare = 12
/** Eight rounds, start and answer together stay under a minute; a round's local work is what is left of that. */
const targetSeconds = 50
const perRoundOverheadMs = 1_200
const atTheEndMs = 3_500
const localMsBounds = { least: 1_500, most: 8_000 }
const checkpointTimeoutMs = 15_000
/** A round that takes longer than this hangs. */
const roundTimeoutMs = 60_000

interface Ports {
  readonly p2p: number
  readonly http: number
}

/** Runs the whole show. Whatever happens, no process and no folder is left behind. */
export async function runDevnet(options: DevnetOptions, terminal: Terminal): Promise<void> {
  checkKill(options)
  const startedMs = performance.now()
  const interrupt = new AbortController()
  const stopNow = new AbortController()
  const onSignal = (): void => {
    if (interrupt.signal.aborted) stopNow.abort()
    interrupt.abort(new OwmError('aborted', 'Interrupted; everything was stopped and deleted.'))
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal).on('SIGHUP', onSignal)
  await sweepDeadDevnets()
  const folder = await mkdtemp(join(tmpdir(), folderPrefix))
  const peers: PeerProcess[] = []
  let progress: Progress | undefined
  try {
    await writeFile(join(folder, 'owner.pid'), String(process.pid))
    await show({
      options,
      terminal,
      folder,
      peers,
      startedMs,
      signal: interrupt.signal,
      onProgress: (made) => (progress = made),
    })
  } finally {
    progress?.stop()
    stopNow.signal.addEventListener('abort', () => peers.forEach((peer) => void peer.kill()))
    await Promise.all(peers.map((peer) => peer.stop()))
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal).off('SIGHUP', onSignal)
  }
}

interface Stage {
  readonly options: DevnetOptions
  readonly terminal: Terminal
  readonly folder: string
  readonly peers: PeerProcess[]
  readonly startedMs: number
  readonly signal: AbortSignal
  onProgress(progress: Progress): void
}

async function show(stage: Stage): Promise<void> {
  const { options, terminal, folder, peers, startedMs, signal } = stage
  const { style } = terminal
  terminal.say(style.bold(`OWM devnet: ${options.peers} peers on this machine`))

  const parts =
    options.data === undefined
      ? await installedPackages(projectRoot, signal)
      : await partsOf(resolve(options.data), options.peers, signal)
  if (parts.length === 0)
    throw new OwmError('no_training_data', `There is no text below ${options.data ?? projectRoot}.`)
  const shares = shareOut(parts, options.peers)

  const ports = await Promise.all(shares.map(async () => ({ p2p: await freePort(), http: await freePort() })))
  peers.push(...(await startPeers(folder, shares, ports)))
  await Promise.all(peers.map((peer) => peer.ready(signal)))
  await allConnected(peers, withTimeout(20_000, signal))
  const gateways = new Map(peers.map((peer, i) => [peer.id, `http://127.0.0.1:${ports[i]?.http}`]))
  const first = peers[0]
  if (first === undefined) throw new OwmError('internal_error', 'There is no first peer.')
  const mesh = (await first.control.call<PeerStatus>('status')).mesh
  terminal.say(`  mesh ${mesh} is whole after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`)
  terminal.say(`  dashboard and OpenAI-compatible gateway: ${style.cyan(gateways.get(first.id) ?? '')}`)

  const heldOutFile = join(folder, 'held-out.txt')
  const source = (share: readonly TextFolder[]) => ({
    roots: share.map((part) => part.path),
    extensions: codeExtensions,
    maxBytes: maxDataBytes,
    heldOutShare,
  })
  const heldOut = await heldOutText({ ...source(parts), maxBytes: 64 * 1024 * 1024 }, heldOutBytes)
  await writeFile(heldOutFile, heldOut)

  const elapsedMs = performance.now() - startedMs
  const spareMs = targetSeconds * 1000 - elapsedMs - atTheEndMs - options.rounds * perRoundOverheadMs
  const localMs = Math.round(Math.min(localMsBounds.most, Math.max(localMsBounds.least, spareMs / options.rounds)))
  const record = createRecord()
  const progress = createProgress(
    terminal,
    peers.map((peer, i) => ({
      id: peer.id,
      about: (shares[i] ?? []).map((part) => part.name).join(' '),
      dataBytes: Math.min(
        maxDataBytes,
        (shares[i] ?? []).reduce((sum, part) => sum + part.bytes, 0),
      ),
    })),
    options.rounds,
    localMs,
  )
  stage.onProgress(progress)
  const trained = follow(stage, record, progress)
  const { run } = await first.control.call<{ run: string }>('createRun', {
    name: 'owm-code',
    rounds: options.rounds,
    localMs,
    heldOutFile,
    heldOutShare,
    roster: peers.map((peer) => peer.id),
  })
  terminal.say(style.dim(`  run ${run}`))
  const baselines = measureBaselines(shares.map(source), heldOut).then((values) => {
    progress.baselines(values)
    const shown = { run, values: Object.entries(values).map(([name, bitsPerByte]) => ({ name, bitsPerByte })) }
    for (const peer of peers) peer.control.call('baselines', shown, { signal }).catch(() => undefined)
    return values
  })
  baselines.catch(() => undefined)
  await trained

  const survivor = peers.find((peer) => peer.alive)
  const gateway = gateways.get(survivor?.id ?? '')
  if (survivor === undefined || gateway === undefined) throw new OwmError('unavailable', 'No peer is left to answer.')
  await untilHeld(survivor, record.rounds().at(-1)?.checkpoint, withTimeout(checkpointTimeoutMs, signal))
  const answer = await ask(gateway, options.prompt, signal)
  const statuses = await Promise.all(
    peers.filter((peer) => peer.alive).map((peer) => peer.control.call<PeerStatus>('status')),
  )
  const measured = await baselines
  progress.stop()
  const rounds = record.rounds()
  const last = rounds.at(-1)
  const lost = record.lostUpdates()
  const figures = {
    peers: options.peers,
    rounds: rounds.map((round) => ({
      round: round.round,
      leader: round.leader,
      committee: round.committee,
      trainers: round.trainers,
      seconds: round.seconds,
      heldOutBitsPerByte: round.heldOutBitsPerByte,
      signatures: round.signatures,
      checkpoint: round.checkpoint,
    })),
    initialBitsPerByte: record.initialBitsPerByte,
    unigramBitsPerByte: rounded(measured.unigram),
    bigramBitsPerByte: rounded(measured.bigram),
    trigramBitsPerByte: rounded(measured.trigram),
    heldOutBitsPerByte: last?.heldOutBitsPerByte ?? null,
    heldOutBytes: heldOut.length,
    checkpoint: last?.checkpoint ?? null,
    certificateSignatures: last?.signatures ?? 0,
    acceptedUpdates: record.acceptedUpdates(),
    lostUpdates: lost.length,
    ...(options.kill === undefined
      ? {}
      : { killed: options.kill, recoverySeconds: record.recoverySeconds(options.kill) }),
    answer: { prompt: options.prompt, text: answer.answer, checkpoint: answer.checkpoint, gateway },
    bytesOnWire: statuses.reduce((sum, status) => sum + status.traffic.sentBytes, 0),
    seconds: rounded((performance.now() - startedMs) / 1000),
  }
  const better = (figures.heldOutBitsPerByte ?? Number.POSITIVE_INFINITY) < measured.trigram ? 'below' : 'above'
  const summary = [
    '',
    `  The model they made together predicts held-out text at ${style.bold(`${figures.heldOutBitsPerByte?.toFixed(2)} bits per byte`)},`,
    `  ${better} a trigram table's ${measured.trigram.toFixed(2)} (bigram ${measured.bigram.toFixed(2)}, unigram ${measured.unigram.toFixed(2)}).`,
    `  Each peer kept its text; ${formatBytes(figures.bytesOnWire)} crossed the wire; ${lost.length} of ${figures.acceptedUpdates} accepted updates were lost.`,
    '',
    `  Asked to go on from ${JSON.stringify(options.prompt)}, checkpoint ${short(answer.checkpoint)} says:`,
    ...`${options.prompt}${answer.answer}`.split('\n').map((line) => `    ${style.cyan(line)}`),
    '',
  ]
  for (const line of summary) terminal.say(line)
  if (!options.exit) await stay(gateway, terminal, signal)
  if (options.json) terminal.result(figures, () => '')
}

async function startPeers(
  folder: string,
  shares: readonly (readonly TextFolder[])[],
  ports: readonly Ports[],
): Promise<PeerProcess[]> {
  const mesh = createPrivateMesh({ name: 'devnet', createdMs: Date.now() })
  const identities = await Promise.all(
    shares.map(async (_, i) => {
      const dataDir = join(folder, `peer-${i + 1}`)
      await mkdir(dataDir, { mode: 0o700 })
      await createMeshStore(dataDir).add(mesh)
      const { identity } = await loadOrCreateIdentity(join(dataDir, 'identity.key'))
      return { dataDir, id: identity.peerId.toString() }
    }),
  )
  const addresses = identities.map(({ id }, i) => `/ip4/127.0.0.1/tcp/${ports[i]?.p2p}/p2p/${id}`)
  return Promise.all(
    identities.map(async ({ dataDir, id }, i) => {
      const others = addresses.filter((_, other) => other !== i).slice(0, 3)
      const config = join(dataDir, 'owm.toml')
      await writeFile(config, devnetConfig(ports[i] ?? { p2p: 0, http: 0 }, others, shares[i] ?? []))
      return startPeerProcess({ id, dataDir, args: ['--config', config] })
    }),
  )
}

/** TOML and JSON write strings and lists alike. */
function devnetConfig(ports: Ports, bootstrap: readonly string[], share: readonly TextFolder[]): string {
  return `[network]
listen = ["/ip4/127.0.0.1/tcp/${ports.p2p}"]
bootstrap = ${JSON.stringify(bootstrap)}
mdns = false

[http]
listen = "127.0.0.1:${ports.http}"

[gateway]
enabled = true

[manifest]
measure_bandwidth = false

[training]
data = ${JSON.stringify(share.map((part) => part.path))}
extensions = ${JSON.stringify(codeExtensions)}
max_data_bytes = ${maxDataBytes}

[log]
format = "json"
`
}

async function allConnected(peers: readonly PeerProcess[], signal: AbortSignal): Promise<void> {
  for (const peer of peers) {
    for (;;) {
      const status = await peer.control.call<PeerStatus>('status', {}, { signal })
      if (status.peers >= peers.length - 1) break
      await sleep(50, signal)
    }
  }
}

/** Follows every peer's events until the run is finished and its last checkpoint measured; kills whom the user asked to. */
async function follow(stage: Stage, record: Record, progress: Progress): Promise<void> {
  const { options, peers, signal } = stage
  const ended = new AbortController()
  const either = joinSignals(signal, ended.signal)
  let lastNewsMs = Date.now()
  let toKill = options.kill
  const killed = new Set<PeerProcess>()
  const leaders = new Map<number, string>()

  const finished = (): boolean => {
    const rounds = record.rounds()
    return rounds.length === options.rounds && rounds.at(-1)?.heldOutBitsPerByte !== null
  }
  const onEvent = (peer: PeerProcess, event: FederationEvent): void => {
    lastNewsMs = Date.now()
    record.event(event)
    progress.event(peer.id, event)
    if (event.type === 'round-started') leaders.set(event.round, event.leader)
    const victim = toKill === undefined ? undefined : victimOf(toKill, event, leaders, peers)
    if (victim !== undefined && toKill !== undefined) {
      killed.add(victim)
      victim.kill()
      record.killed(victim.id, Date.now())
      progress.killed(victim.id, toKill.role, toKill.round)
      toKill = undefined
    }
    if (finished()) ended.abort()
  }
  const listen = async (peer: PeerProcess): Promise<void> => {
    try {
      for await (const event of peer.control.stream<FederationEvent>('events', {}, { signal: either }))
        onEvent(peer, event)
    } catch (error) {
      // A peer that we killed ends its stream; the others go on telling.
      if (either.aborted || killed.has(peer)) return
      await Promise.race([peer.exited, sleep(1_000)])
      if (peer.alive) throw error
      throw new OwmError('peer_failed', `The peer ${short(peer.id)} ended by itself: ${peer.lastWords()}`)
    }
  }
  const watchdog = async (): Promise<void> => {
    while (!either.aborted) {
      if (peers.every((peer) => !peer.alive)) throw new OwmError('peer_failed', 'All peers have ended.')
      if (Date.now() - lastNewsMs > roundTimeoutMs) {
        throw new OwmError(
          'timeout',
          `No news from any peer for ${roundTimeoutMs / 1000} s in a run of ${options.rounds} rounds.`,
        )
      }
      await sleep(500, either).catch(() => undefined)
    }
  }
  await Promise.race([Promise.all(peers.map(listen)).then(() => watchdog()), watchdog()])
  signal.throwIfAborted()
}

/**
 * A leader dies at the worst moment: updates are accepted and nothing is certified. A trainer dies while it trains.
 */
function victimOf(
  kill: NonNullable<DevnetOptions['kill']>,
  event: FederationEvent,
  leaders: ReadonlyMap<number, string>,
  peers: readonly PeerProcess[],
): PeerProcess | undefined {
  if (!('round' in event) || event.round !== kill.round) return undefined
  const leader = leaders.get(kill.round)
  if (leader === undefined) return undefined
  if (kill.role === 'leader' && event.type === 'update-accepted') return peers.find((peer) => peer.id === leader)
  if (kill.role === 'trainer' && event.type === 'train-progress') return peers.findLast((peer) => peer.id !== leader)
  return undefined
}

/** The last certificate reaches every peer within moments; an answer is to come from the checkpoint that it names. */
async function untilHeld(peer: PeerProcess, checkpoint: string | undefined, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { models } = await peer.control.call<PeerStatus>('status', {}, { signal })
    if (models.some((model) => model.checkpoint === checkpoint)) return
    await sleep(50, signal)
  }
}

async function measureBaselines(sources: readonly Parameters<typeof readText>[0][], heldOut: Uint8Array) {
  const texts = await Promise.all(sources.map(async (source) => (await readText(source)).bytes))
  const order = (n: 1 | 2 | 3): Promise<number> => ngramBitsPerByte(texts, heldOut, n, defaultModel.context)
  return { unigram: await order(1), bigram: await order(2), trigram: await order(3) }
}

async function ask(
  gateway: string,
  prompt: string,
  signal: AbortSignal,
): Promise<{ readonly answer: string; readonly checkpoint: string }> {
  const response = await fetch(`${gateway}/v1/query`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ question: prompt, max_tokens: 96 }),
    signal: withTimeout(20_000, signal),
  })
  if (!response.ok)
    throw new OwmError('unavailable', `The gateway answered ${response.status}: ${await response.text()}`)
  return (await response.json()) as { answer: string; checkpoint: string }
}

/** Keeps the mesh up for the user: what is typed is asked, Ctrl-C ends. */
async function stay(gateway: string, terminal: Terminal, signal: AbortSignal): Promise<void> {
  terminal.say(`  The mesh stays up. Look at ${terminal.style.cyan(gateway)}, point an OpenAI client at ${gateway}/v1,`)
  terminal.say('  or type the beginning of some code and press Enter. Ctrl-C ends it all.')
  const lines = createInterface({ input: process.stdin, signal })
  lines.on('line', (line) => {
    if (line.trim() === '') return
    ask(gateway, line, signal).then(
      (answer) => terminal.say(terminal.style.cyan(`${line}${answer.answer}`)),
      (error: Error) => signal.aborted || terminal.say(`  ${error.message}`),
    )
  })
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string')
    throw new OwmError('port_in_use', 'The system gave no free port.')
  return address.port
}

/** A devnet that was itself killed leaves its folder; its peers have ended with it. The next devnet tidies up. */
async function sweepDeadDevnets(): Promise<void> {
  for (const name of await readdir(tmpdir()).catch(() => [])) {
    if (!name.startsWith(folderPrefix)) continue
    const folder = join(tmpdir(), name)
    const owner = Number(await readFile(join(folder, 'owner.pid'), 'utf8').catch(() => Number.NaN))
    if (Number.isInteger(owner) && !isAlive(owner))
      await rm(folder, { recursive: true, force: true }).catch(() => undefined)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
