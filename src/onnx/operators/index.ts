/**
 * The operators that a graph may use: their attributes, and how the types and shapes of what they give follow from
 * what they get (https://onnx.ai/onnx/operators, version 20). Data, one entry per operator; an operator that is not
 * here is refused.
 */
import { elementwise } from './elementwise.ts'
import { indexing } from './indexing.ts'
import { loops } from './loop.ts'
import { matrices } from './matrix.ts'
import type { Attributes, Typed } from './operator.ts'
import { parts } from './parts.ts'
import { reductions } from './reduction.ts'
import { shapes } from './shape.ts'
import { windowOperators } from './windows.ts'

export const operators = {
  ...elementwise,
  ...reductions,
  ...matrices,
  ...shapes,
  ...parts,
  ...indexing,
  ...windowOperators,
  ...loops,
} as const

export type { Typed }
export type OperatorName = keyof typeof operators
export type AttributesOf<K extends OperatorName> = Attributes<(typeof operators)[K]['attributes']>
