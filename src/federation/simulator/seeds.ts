import { Worker } from 'node:worker_threads'
import { errorMessage, OwmError } from '../../lib/index.ts'
import type { FaultKind } from './scenario.ts'
import type { Outcome } from './simulation.ts'

/** A simulation makes and drops small objects all the time; a peer's own process keeps its young generation small. */
const resourceLimits = { maxYoungGenerationSizeMb: 64 }

export interface SeedsInit {
  readonly kind: FaultKind
  readonly peers: number
  readonly rounds: number
  readonly seeds: readonly number[]
  /** Threads; each simulates one seed at a time. */
  readonly workers: number
  /** After each seed. */
  readonly onOutcome: (outcome: Outcome) => void
  readonly signal?: AbortSignal
}

export interface SeedsResult {
  readonly seeds: number
  readonly violations: number
  readonly stalledSeeds: number
  /** Certified by all in the end, over all seeds. */
  readonly roundsFinal: number
  readonly events: number
  readonly eventsPerSecond: number
  readonly seconds: number
  readonly virtualSeconds: number
  readonly passedOver: number
  readonly laterAttempts: number
  readonly undone: number
  /** Seeds that broke what must hold, or did not end, ascending. */
  readonly failed: readonly { readonly seed: number; readonly what: string }[]
}

/** What a worker is asked. */
export interface SeedRequest {
  readonly kind: FaultKind
  readonly seed: number
  readonly peers: number
  readonly rounds: number
}

/** Simulates many seeds on several threads. @throws OwmError `aborted`, or `worker_failed` with what it said */
export async function simulateSeeds(init: SeedsInit): Promise<SeedsResult> {
  const { kind, peers, rounds, onOutcome, signal } = init
  const startedMs = performance.now()
  const left = [...init.seeds].reverse()
  const outcomes: Outcome[] = []
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL('./seed-worker.ts', import.meta.url), { resourceLimits })
    try {
      for (let seed = left.pop(); seed !== undefined; seed = left.pop()) {
        const outcome = await answerOf(worker, { kind, seed, peers, rounds }, signal)
        outcomes.push(outcome)
        onOutcome(outcome)
      }
    } finally {
      await worker.terminate()
    }
  }
  await Promise.all(Array.from({ length: Math.min(init.workers, left.length) }, work))
  const seconds = (performance.now() - startedMs) / 1000
  const sum = (figure: (outcome: Outcome) => number): number => outcomes.reduce((all, one) => all + figure(one), 0)
  const events = sum((one) => one.events)
  const failed = outcomes.filter((one) => one.stalled || one.violations.length > 0).sort((a, b) => a.seed - b.seed)
  return {
    seeds: outcomes.length,
    violations: sum((one) => one.violations.length),
    stalledSeeds: outcomes.filter((one) => one.stalled).length,
    roundsFinal: sum((one) => one.roundsFinal),
    events,
    eventsPerSecond: Math.round(events / seconds),
    seconds: Math.round(seconds * 10) / 10,
    virtualSeconds: Math.round(sum((one) => one.virtualMs) / 1000),
    passedOver: sum((one) => one.passedOver),
    laterAttempts: outcomes.filter((one) => one.highestAttempt > 0).length,
    undone: sum((one) => one.undone),
    failed: failed.map((one) => ({ seed: one.seed, what: one.violations[0] ?? 'the run stalls' })),
  }
}

function answerOf(worker: Worker, request: SeedRequest, signal: AbortSignal | undefined): Promise<Outcome> {
  const answered = Promise.withResolvers<Outcome>()
  const onError = (error: unknown): void =>
    answered.reject(new OwmError('worker_failed', `Seed ${request.seed}: ${errorMessage(error)}`, {}, error))
  const onAbort = (): void => answered.reject(new OwmError('aborted', 'The simulation was called off.'))
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })
  worker.once('message', answered.resolve).once('error', onError)
  worker.postMessage(request)
  return answered.promise.finally(() => {
    signal?.removeEventListener('abort', onAbort)
    worker.off('message', answered.resolve).off('error', onError)
  })
}
