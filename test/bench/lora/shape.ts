/** Models whose weights are most of what a process holds, and a batch as small as fine-tuning has it. */
import { transformerSizes } from '../../../src/training/index.ts'

const shapes = {
  gpt2: { ...transformerSizes.gpt2, vocabulary: 256, context: 64, batch: 1, rank: 8 },
  medium: { ...transformerSizes.medium, vocabulary: 256, context: 64, batch: 1, rank: 8 },
} as const

export function shapeOf(size: string) {
  return shapes[size === 'medium' ? 'medium' : 'gpt2']
}
