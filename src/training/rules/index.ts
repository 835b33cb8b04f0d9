/** All gradient rules, by family. */
import { activations } from './activation.ts'
import { convolutions } from './convolution.ts'
import { elementwise } from './elementwise.ts'
import { matrices } from './matrix.ts'
import { normalisation } from './normalisation.ts'
import { pooling } from './pooling.ts'
import { reductions } from './reduction.ts'
import type { RuleTable } from './rule.ts'
import { shapes } from './shape.ts'

export const rules: RuleTable = {
  ...elementwise,
  ...activations,
  ...reductions,
  ...normalisation,
  ...matrices,
  ...convolutions,
  ...pooling,
  ...shapes,
}
