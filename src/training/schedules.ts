/** How the learning rate changes. */
export interface Schedule {
  /** After the warm-up: `linear` and `cosine` (Loshchilov and Hutter 2017) fall over the run. */
  readonly kind: 'constant' | 'linear' | 'cosine'
  /** The rate rises linearly over the first steps. */
  readonly warmupSteps?: number
  /** What is left of the rate at the run's end; by default nothing. */
  readonly finalShare?: number
}

/**
 * The learning rate's share at a step.
 *
 * @param step from 1, since the optimizer's state was empty
 * @param progress of the whole run, 0 to 1
 */
export function rateShare({ kind, warmupSteps = 0, finalShare = 0 }: Schedule, step: number, progress: number): number {
  const warm = Math.min(1, step / Math.max(1, warmupSteps))
  if (kind === 'constant') return warm
  const left = kind === 'linear' ? 1 - progress : (1 + Math.cos(Math.PI * progress)) / 2
  return warm * (finalShare + (1 - finalShare) * left)
}
