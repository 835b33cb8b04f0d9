/** What a graph needs to run. */
import type { GraphBuilder, Value } from './graph.ts'
import { liveSteps } from './live-steps.ts'
import { elementBytes } from './model.ts'

/**
 * The most bytes that values made by a graph take at once: each from the node that makes it to the last that uses it.
 * A runtime reuses some for others and rounds others up; how near this is, `npm run bench -- memory` tells.
 * Sizes that are names count as 1.
 */
export function peakBytes({ steps, outputs }: GraphBuilder): number {
  const live = liveSteps(steps, outputs)
  const lastUse = new Map<string, number>()
  live.forEach((step, at) => {
    for (const value of [...step.inputs, ...step.outputs]) if (value !== undefined) lastUse.set(value.name, at)
  })
  for (const { value } of outputs) lastUse.set(value.name, live.length)
  const freed = new Map<number, number>()
  let now = 0
  let most = 0
  live.forEach((step, at) => {
    for (const value of step.outputs) {
      const bytes = bytesOf(value)
      const end = lastUse.get(value.name)!
      now += bytes
      freed.set(end, (freed.get(end) ?? 0) + bytes)
    }
    most = Math.max(most, now)
    now -= freed.get(at) ?? 0
  })
  return most
}

function bytesOf({ type, shape }: Value): number {
  return shape.reduce<number>((product, size) => product * (typeof size === 'number' ? size : 1), elementBytes[type])
}
