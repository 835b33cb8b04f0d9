/** Models by name, their ends shaped by the data. */
import { OwmError } from '../../lib/index.ts'
import { elementCount } from '../../onnx/index.ts'
import type { Field } from '../data/dataset.ts'
import type { TrainableModel } from '../define-model.ts'
import type { ImportOptions } from '../imported.ts'
import { cnn, mlp } from '../models/images.ts'
import { lstm } from '../models/lstm.ts'
import { type TransformerShape, transformer } from '../models/transformer.ts'

export type ModelChoice =
  | { readonly kind: 'mlp'; readonly hidden: readonly number[] }
  | { readonly kind: 'cnn'; readonly channels: readonly number[]; readonly hidden: number }
  | { readonly kind: 'lstm'; readonly width: number; readonly hidden: number; readonly layers: number }
  /** An ONNX file from anywhere. */
  | ({ readonly kind: 'file'; readonly file: string } & ImportOptions)
  | ({ readonly kind: 'gpt' } & Omit<TransformerShape, 'context' | 'vocabulary'>)

/** @throws OwmError `bad_model` where the data do not fit the model */
export function modelFor(
  choice: Exclude<ModelChoice, { readonly kind: 'file' }>,
  fields: readonly Field[],
): TrainableModel {
  const unfit = (needs: string): OwmError => {
    const has = fields.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(' and ')
    return new OwmError('bad_model', `A model of kind ${choice.kind} needs ${needs}; these data have ${has}.`)
  }
  const field = (name: string): Field => {
    const found = fields.find((one) => one.name === name)
    if (found === undefined) throw unfit(name)
    return found
  }
  switch (choice.kind) {
    case 'mlp': {
      const targets = field('targets')
      const outputs = targets.type === 'int32' ? targets.values : elementCount(targets.shape)
      return mlp([elementCount(field('inputs').shape), ...choice.hidden, outputs])
    }
    case 'cnn': {
      const [targets, { shape }] = [field('targets'), field('inputs')]
      const [depth, side, width] = shape
      if (targets.type !== 'int32' || shape.length !== 3 || side !== width) throw unfit('square images of classes')
      return cnn({ ...choice, depth: depth!, side: side!, classes: targets.values })
    }
    case 'lstm':
    case 'gpt': {
      const windows = field('windows')
      if (windows.type !== 'int32') throw unfit('tokens')
      const length = windows.shape[0]! - 1
      return choice.kind === 'lstm'
        ? lstm({ ...choice, length, vocabulary: windows.values })
        : transformer({ ...choice, context: length, vocabulary: windows.values })
    }
  }
}
