import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { PeerStatus } from '../../control/index.ts'
import { formatBytes, OwmError, sleep, withTimeout } from '../../lib/index.ts'
import { defaultModel, heldOutText, ngramBitsPerByte, readText } from '../../training/index.ts'
import { short, type Terminal } from '../terminal.ts'
import { makeFolder, removeFolder } from './folder.ts'
import { follow } from './follow.ts'
import { checkKill, type DevnetOptions } from './options.ts'
import { codeExtensions, installedPackages, partsOf, shareOut, type TextFolder } from './packages.ts'
import type { PeerProcess } from './peer-process.ts'
import { allConnected, freePort, startPeers } from './peers.ts'
import { createProgress, type Progress } from './progress.ts'
import { createRecord, rounded } from './report.ts'

const projectRoot = resolve(fileURLToPath(new URL('../../..', import.meta.url)))

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
  const folder = await makeFolder()
  const peers: PeerProcess[] = []
  let progress: Progress | undefined
  try {
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
    await removeFolder(folder)
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
  peers.push(...(await startPeers(folder, shares, ports, maxDataBytes)))
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
  const trained = follow({ peers, rounds: options.rounds, kill: options.kill, record, progress, signal })
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
      heldOutBitsPerByte: round.heldOutLoss,
      signatures: round.signatures,
      checkpoint: round.checkpoint,
    })),
    initialBitsPerByte: record.initialLoss,
    unigramBitsPerByte: rounded(measured.unigram),
    bigramBitsPerByte: rounded(measured.bigram),
    trigramBitsPerByte: rounded(measured.trigram),
    heldOutBitsPerByte: last?.heldOutLoss ?? null,
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
  if (!options.exit) await stay(peers, gateways, terminal, signal)
  if (options.json) terminal.result(figures, () => '')
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
async function stay(
  peers: readonly PeerProcess[],
  gateways: ReadonlyMap<string, string>,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  // The user may kill one to see; any other answers.
  const open = (): string => gateways.get(peers.find((peer) => peer.alive)?.id ?? '') ?? ''
  const gateway = open()
  terminal.say(`  The mesh stays up. Look at ${terminal.style.cyan(gateway)}, point an OpenAI client at ${gateway}/v1,`)
  terminal.say('  or type the beginning of some code and press Enter. Ctrl-C ends it all.')
  const lines = createInterface({ input: process.stdin, signal })
  lines.on('line', (line) => {
    if (line.trim() === '') return
    ask(open(), line, signal).then(
      (answer) => terminal.say(terminal.style.cyan(`${line}${answer.answer}`)),
      (error: Error) => signal.aborted || terminal.say(`  ${error.message}`),
    )
  })
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
