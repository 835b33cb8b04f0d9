import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FederationEvent } from '../../src/federation/index.ts'

interface Peer {
  readonly process: ChildProcess
  name: string
  addresses: string[]
  connected: boolean
  readonly events: FederationEvent[]
}

/**
 * What a round costs beyond local training, and how soon a mesh goes on after its leader is killed: real processes on
 * loopback, a trainer that only sleeps. `npm run bench -- rounds [PEERS] [WEIGHTS] [ROUNDS]`.
 */
export async function run(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const [peers = 3, weights = 200_000, rounds = 10] = args.map(Number)
  const trainMs = 300
  const folder = mkdtempSync(join(tmpdir(), 'owm-bench-rounds-'))
  const all: Peer[] = []
  try {
    for (let i = 0; i < peers; i++) all.push(start(join(folder, String(i)), weights, trainMs))
    await until(() => all.every((peer) => peer.addresses.length > 0))
    for (const [i, peer] of all.entries()) {
      peer.process.send({ connect: all.slice(0, i).flatMap((other) => other.addresses.slice(0, 1)) })
    }
    await until(() => all.every((peer) => peer.connected))
    all[0]?.process.send({ run: { roster: all.map((peer) => peer.name), rounds } })

    // The leader of the middle round dies as soon as two updates of it are accepted.
    const fatal = Math.ceil(rounds / 2)
    const accepted = (): string[] =>
      all.flatMap((peer) =>
        peer.events.flatMap((e) => (e.type === 'update-accepted' && e.round === fatal ? [e.update] : [])),
      )
    const leader = (): string | undefined =>
      all.flatMap((peer) =>
        peer.events.flatMap((e) => (e.type === 'round-started' && e.round === fatal ? [e.leader] : [])),
      )[0]
    await until(() => accepted().length >= 1)
    const killedMs = Date.now()
    const victim = all.find((peer) => peer.name === leader())
    victim?.process.kill('SIGKILL')
    const rest = all.filter((peer) => peer !== victim)
    await until(() => rest.every((peer) => peer.events.some((event) => event.type === 'run-finished')))

    const certified = certificates(rest)
    const lost = accepted().filter((update) => !certified.get(fatal)?.updates.includes(update)).length
    const overheads = [...certified.values()].filter(({ round }) => round !== fatal && round > 1)
    const median = overheads.map(({ seconds }) => seconds * 1000 - trainMs).sort((a, b) => a - b)
    return {
      peers,
      weights,
      rounds: certified.size,
      overheadMs: Math.round(median[Math.floor(median.length / 2)] ?? 0),
      recoverySeconds: ((certified.get(fatal)?.certifiedMs ?? 0) - killedMs) / 1000,
      lostUpdates: lost,
      trainersInFatalRound: certified.get(fatal)?.trainers.length,
    }
  } finally {
    for (const peer of all) peer.process.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
}

function certificates(peers: readonly Peer[]) {
  const views = peers.flatMap((peer) => peer.events.flatMap((e) => (e.type === 'round-certified' ? [e.round] : [])))
  return new Map(views.map((view) => [view.round, view]))
}

function start(dataDir: string, weights: number, trainMs: number): Peer {
  const child = fork(new URL('./rounds/peer.ts', import.meta.url), [dataDir, String(weights), String(trainMs)])
  const peer: Peer = { process: child, name: '', addresses: [], connected: false, events: [] }
  child.on('message', (message: { type: string; name: string; addresses: string[]; event: FederationEvent }) => {
    if (message.type === 'ready') Object.assign(peer, { name: message.name, addresses: message.addresses })
    else if (message.type === 'connected') peer.connected = true
    else peer.events.push(message.event)
  })
  return peer
}

async function until(condition: () => boolean): Promise<void> {
  const limitMs = Date.now() + 120_000
  while (!condition()) {
    if (Date.now() > limitMs) throw new Error('the mesh did not get there within 120 s')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
