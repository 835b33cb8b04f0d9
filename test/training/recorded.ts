/** What recordings of another framework are compared with: numbers drawn alike, and how near is near. */
import * as assert from 'uvu/assert'
import { elementCount, type Random, type RuntimeTensor } from '../../src/onnx/index.ts'
import type { Feed } from '../../src/training/training-step.ts'

export function close(actual: ArrayLike<number>, expected: ArrayLike<number>, relative: number, what: string): void {
  assert.is(actual.length, expected.length)
  const largest = Math.max(...Array.from(expected, Math.abs))
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!)
    assert.ok(error <= relative * Math.max(largest, 1e-3), `${what}[${i}]: ${actual[i]}, not ${expected[i]}`)
  }
}

export const tensor = (random: Random, shape: readonly number[]): RuntimeTensor => ({
  type: 'float32',
  shape,
  data: Float32Array.from({ length: elementCount(shape) }, () => random.unit() * 2 - 1),
})
export const integers = (random: Random, shape: readonly number[], limit: number): RuntimeTensor => ({
  type: 'int32',
  shape,
  data: Int32Array.from({ length: elementCount(shape) }, () => Math.floor(random.unit() * limit)),
})

/** Feeds of K steps: the batches in turn, one after the other in one tensor. */
export function stacked(feeds: readonly Feed[], batches: readonly Record<string, RuntimeTensor>[], steps: number) {
  return Object.fromEntries(
    feeds.map(({ name, type, shape }) => {
      const size = elementCount(shape)
      const data = type === 'int32' ? new Int32Array(steps * size) : new Float32Array(steps * size)
      for (let step = 0; step < steps; step++) {
        data.set(batches[step % batches.length]![name]!.data as Float32Array, step * size)
      }
      return [name, { type, shape: [steps, ...shape], data } as RuntimeTensor]
    }),
  )
}
