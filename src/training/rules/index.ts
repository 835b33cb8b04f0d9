/** All gradient rules, by family. */
import { convolutions } from './convolution.ts'
import { elementwise } from './elementwise.ts'
import { matrices } from './matrix.ts'
import { pooling } from './pooling.ts'
import { reductions } from './reduction.ts'
import type { RuleTable } from './rule.ts'
import { shapes } from './shape.ts'

export const rules: RuleTable = {
  ...elementwise,
  ...reductions,
  ...matrices,
  ...convolutions,
  ...pooling,
  ...shapes,
}
