import { OwmError } from '../lib/index.ts'
import { outerPlans } from '../training/index.ts'
import { aggregationPlans, checkPlan, readPlan } from './aggregation/index.ts'
import type { RunSpecification } from './index.ts'
import { checkPlans, privacyPlans } from './privacy/plan.ts'
import { maxRosterPeers } from './roster.ts'

/** How a run's updates travel, are put together, move the model, and what others may learn of them. */
export type RunPlans = Pick<RunSpecification, 'compression' | 'aggregation' | 'outer' | 'privacy'>

/** FedAvg (McMahan et al. 2017) with updates of a byte per weight. */
export const defaultPlans = {
  compression: { updates: { kind: 'quantise', bits: 8 }, results: null },
  aggregation: aggregationPlans.mean,
  outer: outerPlans.fedavg,
  privacy: privacyPlans.none,
} as const satisfies RunPlans

/**
 * Whether a run's plans hold by themselves, for every number of updates that a round may end with, and with each other.
 *
 * @throws OwmError `cannot_weigh`, `cannot_mix`, `too_many_liars`, the codes of `checkPlans`, `privacy_not_supported`
 */
export function checkRunPlans(
  { aggregation, compression, privacy }: RunPlans,
  { minimumTrainers }: Pick<RunSpecification, 'minimumTrainers'>,
): void {
  const plan = readPlan(aggregation)
  checkPlans(privacy, plan, compression.updates)
  checkPlan(plan, { least: minimumTrainers, most: maxRosterPeers })
  if (privacy.kind !== 'none') {
    throw new OwmError(
      'privacy_not_supported',
      `Rounds cannot be run under the privacy plan "${privacy.kind}" yet; take "none".`,
    )
  }
}
