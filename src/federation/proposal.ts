import { errorCode, errorMessage, withTimeout } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import { composeValue, type Head, type Value } from './certificate.ts'
import type { Results } from './results.ts'
import type { Run } from './specification.ts'
import type { Join, Notice } from './statements.ts'

/** How long fetching what a round needs may take. */
export const fetchTimeoutMs = 30_000

/** What a round's value is computed from. */
export interface RoundSource {
  readonly run: Run
  readonly head: Head
  readonly attempt: number
  /** The certified value before; null in the first round. */
  readonly value: Value | null
  /** Peers that may have what is not here. */
  readonly hints: readonly string[]
  /** A single update that does not come by then is left out. */
  readonly updateMs: number
  readonly signal: AbortSignal
}

interface Components {
  readonly results: Results
  readonly logger: Logger
}

/** The value that a leader proposes: all of these updates that can be had and are valid. Null when they are too few. */
export async function proposedValue(
  { results, logger }: Components,
  { run, head, attempt, value, hints, updateMs, signal }: RoundSource,
  updates: readonly Notice[],
  joins: readonly Join[],
): Promise<Value | null> {
  try {
    const base = await results.weights(value, hints, signal)
    const checked = await Promise.all(
      updates.map(async (notice) => {
        try {
          await results.update(notice, base, hints, withTimeout(updateMs, signal))
          return notice
        } catch (error) {
          logger.warn({ trainer: notice.trainer, code: errorCode(error) }, 'a reported update is left out')
          return null
        }
      }),
    )
    const found = checked.filter((notice) => notice !== null)
    if (found.length < run.specification.minimumTrainers) return null
    const checkpoint = await results.compute(head, base, found, hints, signal)
    return composeValue(run, head, attempt, { updates: found, joins, checkpoint })
  } catch (error) {
    logger.warn({ code: errorCode(error), error: errorMessage(error) }, 'could not aggregate')
    return null
  }
}

/** Fetches the updates of a proposed value and computes its result again. The code of what is wrong, or null. */
export async function valueFault(
  { results }: Components,
  { run, head, value: before, hints, signal }: RoundSource,
  value: Value,
): Promise<string | null> {
  try {
    const base = await results.weights(before, hints, signal)
    const checkpoint = await results.compute(head, base, value.updates, hints, signal)
    const expected = composeValue(run, head, value.attempt, { ...value, checkpoint })
    return expected.id === value.id ? null : 'wrong_result'
  } catch (error) {
    return errorCode(error)
  }
}
