/**
 * How operators of the sets 13 to 21 differ from this room's form (20), as data: which attributes became inputs, which
 * say nothing here, and which operators are made of others (https://github.com/onnx/onnx/blob/main/docs/Changelog.md).
 */

import { einsum } from './einsum.ts'
import type { Conversion } from './node.ts'
import { batchNormalization, groupNormalization, instanceNormalization } from './normalisation.ts'
import { gru, lstm, recurrent } from './recurrent.ts'
import {
  cast,
  castLike,
  clip,
  constant,
  constantOfShape,
  dropout,
  identity,
  matMul,
  mean,
  oneHot,
  pow,
  reduction,
  reshape,
  split,
  squeeze,
  sum,
  variadic,
} from './rewrites.ts'
import { averagePool, conv, depthToSpace, globalMaxPool, maxPool, spaceToDepth } from './windows.ts'

const reductions = [
  'ReduceL1',
  'ReduceL2',
  'ReduceLogSum',
  'ReduceLogSumExp',
  'ReduceMax',
  'ReduceMean',
  'ReduceMin',
  'ReduceProd',
  'ReduceSum',
  'ReduceSumSquare',
] as const

/** Operators that are not taken over as they are. */
export const conversions: Readonly<Record<string, Conversion>> = {
  // Until 18 (ReduceSum: until 13) the axes are an attribute; no axes can mean all or none.
  ...Object.fromEntries(reductions.map((name) => [name, reduction(name)])),
  Constant: constant,
  ConstantOfShape: constantOfShape,
  Identity: identity,
  Dropout: dropout,
  Cast: cast,
  CastLike: castLike,
  Clip: clip,
  Pow: pow,
  Max: variadic('Max'),
  Min: variadic('Min'),
  Sum: sum,
  Mean: mean,
  MatMul: matMul,
  Einsum: einsum,
  Conv: conv('Conv'),
  ConvTranspose: conv('ConvTranspose'),
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalMaxPool: globalMaxPool,
  Reshape: reshape,
  Squeeze: squeeze,
  Split: split,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  OneHot: oneHot,
  BatchNormalization: batchNormalization,
  InstanceNormalization: instanceNormalization,
  GroupNormalization: groupNormalization,
  LSTM: lstm,
  GRU: gru,
  RNN: recurrent,
}

/** Attributes that change nothing of what is computed here. */
export const ignored: Readonly<Record<string, readonly string[]>> = {
  // The statistics' type, which is float32 here too.
  LayerNormalization: ['stash_type'],
  // Whether positive, negative or both: only where it is both.
  IsInf: ['detect_negative', 'detect_positive'],
}
