import type { FederationEvent } from '../federation/index.ts'
import type { DashboardComponents } from './index.ts'
import { accuracyWords, bits, shortPeer } from './words.ts'

/** What events tell and no view remembers: live progress, which updates are in, and the last happenings. */
export interface Watch {
  start(): void
  stop(): void
  /** Of the round under way in a run, by trainer. */
  progress(run: string): ReadonlyMap<string, TrainerProgress>
  /** Newest first. */
  happenings(): readonly Happening[]
}

export interface TrainerProgress {
  readonly step: number | null
  readonly loss: number | null
  readonly stepsPerSecond: number | null
  readonly update: 'under way' | 'in' | 'refused'
}

export interface Happening {
  readonly id: number
  readonly atMs: number
  readonly text: string
  /** A certified round or a finished run: what the eye should find. */
  readonly weighty: boolean
}

/** The page shows as many. */
const maxHappenings = 8
/** Runs and trainers watched at once; the oldest is forgotten first. */
const maxRuns = 16
const maxTrainers = 256

export function createWatch({ federation, manifests, clock }: DashboardComponents): Watch {
  const byRun = new Map<string, { round: number; readonly trainers: Map<string, TrainerProgress> }>()
  const happenings: Happening[] = []
  let serial = 0
  let unsubscribe: (() => void)[] = []

  const happen = (atMs: number, text: string, weighty = false): void => {
    happenings.unshift({ id: serial++, atMs, text, weighty })
    happenings.length = Math.min(happenings.length, maxHappenings)
  }
  const trainersOf = (run: string, round: number): Map<string, TrainerProgress> => {
    let entry = byRun.get(run)
    if (entry === undefined) {
      entry = { round, trainers: new Map() }
      byRun.set(run, entry)
      forgetOldest(byRun, maxRuns)
    }
    if (round > entry.round) {
      entry.round = round
      entry.trainers.clear()
    }
    // A late word of an earlier round changes nothing.
    return round < entry.round ? new Map() : entry.trainers
  }
  const note = (event: { run: string; round: number }, trainer: string, change: Partial<TrainerProgress>): void => {
    const trainers = trainersOf(event.run, event.round)
    const before = trainers.get(trainer) ?? blank
    trainers.set(trainer, { ...before, ...change })
    forgetOldest(trainers, maxTrainers)
  }

  const onEvent = (event: FederationEvent): void => {
    switch (event.type) {
      case 'run-joined':
        happen(event.atMs, `This peer joined the run of ${event.name}`)
        break
      case 'round-started':
        trainersOf(event.run, event.round)
        happen(event.atMs, `Round ${event.round} started, ${shortPeer(event.leader)} leads`)
        break
      case 'train-progress': {
        const { trainer, step, loss, stepsPerSecond } = event
        note(event, trainer, { step, loss, stepsPerSecond })
        break
      }
      case 'update-accepted':
        note(event, event.trainer, { update: 'in' })
        happen(event.atMs, `The update of ${shortPeer(event.trainer)} is in`)
        break
      case 'update-rejected':
        note(event, event.trainer, { update: 'refused' })
        happen(event.atMs, `The update of ${shortPeer(event.trainer)} was refused: ${event.code}`)
        break
      case 'leader-passed-over':
        happen(event.atMs, `${shortPeer(event.leader)} is silent, ${shortPeer(event.next)} leads now`)
        break
      case 'round-certified': {
        const { round, signatures, seconds } = event.round
        happen(event.atMs, `Round ${round} certified by ${signatures} in ${bits(seconds, 1)} s`, true)
        break
      }
      case 'evaluated':
        happen(
          event.atMs,
          `Round ${event.round} measures ${bits(event.heldOutLoss)}${accuracyWords(event.heldOutAccuracy)}`,
        )
        break
      case 'run-controlled':
        happen(event.atMs, `The owner: ${event.action}`, true)
        break
      case 'run-finished':
        happen(event.atMs, 'The run is finished', true)
        break
    }
  }

  return {
    progress: (run) => byRun.get(run)?.trainers ?? new Map(),
    happenings: () => happenings,
    start: () => {
      if (unsubscribe.length > 0) return
      unsubscribe = [
        federation?.onEvent(onEvent),
        manifests?.onChange(({ type, peer }) => {
          if (type !== 'updated') happen(clock.now(), `${shortPeer(peer.toString())} ${type} the mesh`)
        }),
      ].filter((stop) => stop !== undefined)
    },
    stop: () => {
      for (const stop of unsubscribe.splice(0)) stop()
    },
  }
}

const blank: TrainerProgress = { step: null, loss: null, stepsPerSecond: null, update: 'under way' }

function forgetOldest(map: Map<string, unknown>, limit: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= limit) return
    map.delete(oldest)
  }
}
