import type { Clock } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import type { LocalTraining } from './local-training.ts'
import { retrying } from './retrying.ts'
import { type Evaluation, maxMicroLoss } from './statements.ts'

/** If a measurement has not come by then, the next in order makes it. */
const turnMs = 5_000

export interface Measuring {
  /** 0 measures at once; -1 never. */
  readonly turn: number
  readonly weights: () => Promise<Float32Array>
  readonly isDone: () => boolean
  readonly onMeasured: (measured: Pick<Evaluation, 'microLoss' | 'microAccuracy'>) => void
}

/** Who measures a checkpoint, and when: its leader first, then the rest of the committee in its order. */
export function turnOf(self: string, committee: readonly string[], leader = committee[0]): number {
  return [leader, ...committee.filter((peer) => peer !== leader)].indexOf(self)
}

/** Measures a checkpoint on the held-out text when the turn comes, unless somebody has done it by then. Returns the way to call it off. */
export function measureInTurn(
  clock: Clock,
  logger: Logger,
  signal: AbortSignal,
  training: LocalTraining,
  { turn, weights, isDone, onMeasured }: Measuring,
): () => void {
  if (turn < 0) return () => undefined
  const measure = (): void =>
    void retrying(clock, logger, signal, 'measure a checkpoint', async () => {
      if (isDone()) return
      const { loss, accuracy } = await training.evaluate(weights, signal)
      const microLoss = Math.min(maxMicroLoss, Math.max(0, Math.round(loss * 1e6)))
      onMeasured({ microLoss, microAccuracy: accuracy === null ? null : Math.round(accuracy * 1e6) })
    })
  if (turn > 0) return clock.after(turn * turnMs, measure)
  measure()
  return () => undefined
}
