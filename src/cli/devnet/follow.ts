import type { FederationEvent } from '../../federation/index.ts'
import { joinSignals, OwmError, sleep } from '../../lib/index.ts'
import { short } from '../terminal.ts'
import type { PeerProcess } from './peer-process.ts'
import type { Progress } from './progress.ts'
import type { Kill, Record } from './report.ts'

/** A round that takes longer than this hangs. */
const roundTimeoutMs = 60_000

export interface FollowOptions {
  readonly peers: readonly PeerProcess[]
  readonly rounds: number
  readonly kill?: Kill | undefined
  readonly record: Record
  readonly progress: Progress
  readonly signal: AbortSignal
}

/** Follows every peer's events until the run is finished and its last checkpoint measured; kills whom the user asked to. */
export async function follow(options: FollowOptions): Promise<void> {
  const { peers, record, progress, signal } = options
  const ended = new AbortController()
  const either = joinSignals(signal, ended.signal)
  let lastNewsMs = Date.now()
  let toKill = options.kill
  const killed = new Set<PeerProcess>()
  const leaders = new Map<number, string>()

  const finished = (): boolean => {
    const rounds = record.rounds()
    return rounds.length === options.rounds && rounds.at(-1)?.heldOutLoss !== null
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
      // A peer that was killed, by us or by the user who tries it, ends its stream; the others go on telling.
      if (either.aborted || killed.has(peer)) return
      await Promise.race([peer.exited, sleep(1_000)])
      if (peer.alive) throw error
      if (peer.endedBySignal) return progress.gone(peer.id)
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
  kill: Kill,
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
