import { CID } from 'multiformats/cid'
import type { ContentStore } from '../content/index.ts'
import { errorCode, errorMessage } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import type { RoundView } from './index.ts'

/** Checkpoints of so many rounds stay: a peer that comes late, or whose fetch was slow, finds one to start from. */
export const keptWeightsRounds = 8
/** Updates of so many rounds stay: an audit computes a result again, and a lost checkpoint is made of them. */
export const keptUpdatesRounds = 16

type Certified = Pick<RoundView, 'round' | 'checkpoint' | 'updates'>

/**
 * What of the certified rounds must stay, of those up to `newest`, the newest checkpoint that is here whole: it is never
 * deleted, and neither is anything that came after it.
 */
export function keptOf(rounds: readonly Certified[], newest: number): { weights: string[]; updates: string[] } {
  return {
    weights: rounds.filter(({ round }) => round > newest - keptWeightsRounds).map(({ checkpoint }) => checkpoint),
    updates: rounds.filter(({ round }) => round > newest - keptUpdatesRounds).flatMap(({ updates }) => updates),
  }
}

/** Deletes values of runs, but none that a run still needs. */
export class Retention {
  readonly #content: ContentStore
  readonly #logger: Logger
  readonly #needed: () => Promise<readonly string[]>

  /** `needed` names what all runs of this peer need. */
  constructor(content: ContentStore, logger: Logger, needed: () => Promise<readonly string[]>) {
    this.#content = content
    this.#logger = logger
    this.#needed = needed
  }

  async discard(cids: readonly string[]): Promise<void> {
    if (cids.length === 0) return
    try {
      const needed = new Set(await this.#needed())
      const gone = [...new Set(cids)].filter((cid) => !needed.has(cid)).map((cid) => CID.parse(cid))
      await this.#content.remove(gone, { keeping: [...needed].map((cid) => CID.parse(cid)) })
    } catch (error) {
      this.#logger.warn({ code: errorCode(error), error: errorMessage(error) }, 'old rounds could not be deleted')
    }
  }
}
