import type { Row } from './blocks.ts'
import type { Decision } from './decision.ts'
import type { UpdateReport } from './index.ts'
import { oneWhole } from './kernels.ts'
import { squareRoot } from './square-root.ts'

/** What there is to say of the updates: `rows` are those that were not rejected, and the decision is about these. */
export function reportsOf(
  norms: readonly bigint[],
  sizes: readonly bigint[] | undefined,
  rows: readonly Row[],
  decision: Decision,
): UpdateReport[] {
  const reports = norms.map(
    (norm, at): UpdateReport => ({
      verdict: 'rejected',
      code: 'outlier',
      weight: 0,
      norm: Number(norm),
      clippedBy: null,
      size: sizes === undefined ? null : Number(sizes[at]!),
      score: null,
    }),
  )
  for (const [i, { at, factor }] of rows.entries()) {
    const weight = decision.weights[i]!
    const score = decision.scores?.[i]
    reports[at] = {
      ...reports[at]!,
      verdict: weight > 0 ? 'counted' : 'left-out',
      code: weight > 0 ? null : score === undefined ? 'too_far' : 'not_chosen',
      weight,
      clippedBy: factor === oneWhole ? null : factor / oneWhole,
      score: score === undefined ? null : Number(squareRoot(score)),
    }
  }
  return reports
}
