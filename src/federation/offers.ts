import type { PeerId } from '@libp2p/interface'
import { errorCode, errorMessage, withTimeout } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import { fetchTimeoutMs } from './proposal.ts'
import type { Results } from './results.ts'
import type { Event } from './round-state.ts'
import type { Notice } from './statements.ts'

interface Offer {
  readonly bytes: Uint8Array
  readonly answers: ((outcome: string) => void)[]
}

export interface OffersInit {
  readonly over: AbortSignal
  /** Those of whom an update may be stored here: the roster if this peer is in the committee, else nobody. */
  readonly trainers: readonly string[]
  readonly isHeld: (trainer: string) => boolean
  readonly weights: (signal: AbortSignal) => Promise<Float32Array>
  readonly feed: (event: Event) => void
}

/** What trainers push to this member in one round: checked, made durable, answered. The machine decides. */
export class Offers {
  readonly #results: Results
  readonly #logger: Logger
  readonly #init: OffersInit
  readonly #underWay = new Map<string, Offer>()
  /** The one update of each trainer that is stored here: a liar that signs many fills no disk and no memory. */
  readonly #stored = new Map<string, string>()

  constructor({ results, logger }: { results: Results; logger: Logger }, init: OffersInit) {
    this.#results = results
    this.#logger = logger
    this.#init = init
  }

  /** A trainer's push, its notice checked. Resolves with what this member says to it. */
  async take(from: PeerId, notice: Notice, bytes: Uint8Array, signal: AbortSignal): Promise<string> {
    if (notice.trainer !== from.toString()) return 'not_yours'
    const { trainers, feed } = this.#init
    if (trainers.includes(notice.trainer)) {
      const other = this.#stored.get(notice.trainer)
      if (other !== undefined && other !== notice.update) return 'equivocation'
      this.#stored.set(notice.trainer, notice.update)
    }
    const answered = Promise.withResolvers<string>()
    signal.addEventListener('abort', () => answered.resolve('busy'), { once: true })
    const underWay = this.#underWay.get(notice.update)
    if (underWay !== undefined) {
      underWay.answers.push(answered.resolve)
    } else {
      this.#underWay.set(notice.update, { bytes, answers: [answered.resolve] })
      feed({ type: 'offered', notice })
      // Not acknowledged, but it may be in the leader's list: then it need not be fetched.
      if (!this.#underWay.has(notice.update)) void this.#keep(notice, bytes)
    }
    return answered.promise
  }

  /** Does what the machine wants: checks and stores the update, and tells the machine. */
  async store(notice: Notice): Promise<void> {
    const { over, feed } = this.#init
    const offer = this.#underWay.get(notice.update)
    if (offer === undefined) return
    let code: string | null = null
    try {
      const base = await this.#init.weights(withTimeout(fetchTimeoutMs, over))
      await this.#results.store(notice, offer.bytes, base)
    } catch (error) {
      code = errorCode(error)
      this.#stored.delete(notice.trainer)
      this.#logger.warn({ trainer: notice.trainer, code, error: errorMessage(error) }, 'update not taken')
    }
    if (!over.aborted) feed({ type: 'stored', notice, code })
  }

  answer(update: string, outcome: string): void {
    const offer = this.#underWay.get(update)
    this.#underWay.delete(update)
    for (const answer of offer?.answers ?? []) answer(outcome)
  }

  answerAll(outcome: string): void {
    for (const update of [...this.#underWay.keys()]) this.answer(update, outcome)
  }

  async #keep(notice: Notice, bytes: Uint8Array): Promise<void> {
    if (!this.#init.trainers.includes(notice.trainer) || this.#init.isHeld(notice.trainer)) return
    try {
      this.#results.take(notice, bytes, await this.#init.weights(withTimeout(fetchTimeoutMs, this.#init.over)))
    } catch (error) {
      this.#stored.delete(notice.trainer)
      this.#logger.debug({ trainer: notice.trainer, code: errorCode(error) }, 'a late update is of no use')
    }
  }
}
