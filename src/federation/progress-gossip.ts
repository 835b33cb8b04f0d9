import type { Identity } from '../identity/index.ts'
import { type Clock, errorMessage } from '../lib/index.ts'
import type { GossipTopic, Network } from '../network/index.ts'
import type { Logger } from '../observability/index.ts'
import type { WithoutEnvelope } from './index.ts'
import { judgeBy } from './judging.ts'
import { maxMilliLoss, openProgress, type Progress, signProgress } from './statements.ts'
import { progressTopic } from './wire.ts'

/** A trainer tells of its progress no more often, and a large roster together no more than 20 times a second. */
const leastMs = 1_000
const perTrainerMs = 50

/** Lets the mesh watch who trains: this peer's progress goes out, others' come in. Nothing is decided by it. */
export class ProgressGossip {
  readonly #identity: Identity
  readonly #clock: Clock
  readonly #log: Logger
  readonly #topic: GossipTopic<Progress>
  readonly #told = new Map<string, { atMs: number; last: Omit<Progress, 'peer' | 'document' | 'update'> }>()

  constructor(
    { network, identity, clock, logger }: { network: Network; identity: Identity; clock: Clock; logger: Logger },
    onProgress: (progress: Progress) => void,
  ) {
    this.#identity = identity
    this.#clock = clock
    this.#log = logger
    this.#topic = network.gossip({ ...progressTopic, validate: judgeBy(openProgress) })
    this.#topic.onMessage(onProgress)
  }

  /** Takes note of an event of this peer's own trainer, and tells the mesh when it is time. */
  tell(run: string, event: WithoutEnvelope, trainers: number): void {
    if (event.type === 'train-progress') {
      const { round, step } = event
      const milliLoss = Math.min(maxMilliLoss, Math.max(0, Math.round(event.loss * 1000)))
      const milliStepsPerSecond = Math.round(event.stepsPerSecond * 1000)
      const atMs = this.#told.get(run)?.atMs ?? 0
      const last = { run, round, step, milliLoss, milliStepsPerSecond }
      const due = this.#clock.now() - atMs >= Math.max(leastMs, perTrainerMs * trainers)
      this.#told.set(run, { atMs: due ? this.#clock.now() : atMs, last })
      if (due) this.#publish({ ...last, update: null })
    } else if (event.type === 'update-accepted') {
      const last = this.#told.get(run)?.last
      if (last?.round === event.round) this.#publish({ ...last, update: event.update })
    } else if (event.type === 'run-finished') {
      this.#told.delete(run)
    }
  }

  #publish(progress: Omit<Progress, 'peer' | 'document'>): void {
    this.#topic.publish(signProgress(this.#identity, progress).document).catch((error) => {
      this.#log.debug({ error: errorMessage(error) }, 'progress not published')
    })
  }
}
