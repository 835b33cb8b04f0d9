import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { sha256Of, toHex } from '../../src/lib/index.ts'
import { createRandom } from '../../src/onnx/index.ts'
import { createOuterOptimizer, type OuterPlan, outerPlanSchema, outerPlans } from '../../src/training/outer.ts'
import { suite } from '../suite.ts'

const test = suite('outer optimizers')

interface Recorded {
  readonly start: number[]
  readonly deltas: number[][]
  /** Of parameters and state after many rounds, by plan. */
  readonly bits: { readonly length: number; readonly rounds: number; readonly sha256: Readonly<Record<string, string>> }
  readonly ends: readonly { readonly plan: OuterPlan; readonly parameters: number[] }[]
}
const recorded: Recorded = JSON.parse(readFileSync(new URL('vectors/outer/outer.json', import.meta.url), 'utf8'))
const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'none'
  } catch (error) {
    return (error as { code: string }).code
  }
}

function run(plan: OuterPlan, start: Float32Array, deltas: Iterable<Float32Array>): Float32Array[] {
  const optimizer = createOuterOptimizer(plan)
  let at = { parameters: start, state: optimizer.initialState(start.length) as readonly Float32Array[] }
  for (const delta of deltas) at = optimizer.apply({ ...at, delta })
  return [at.parameters, ...at.state]
}

for (const { plan, parameters } of recorded.ends) {
  test(`${JSON.stringify(plan)} goes where PyTorch and numpy go`, () => {
    const [end] = run(
      plan,
      Float32Array.from(recorded.start),
      recorded.deltas.map((delta) => Float32Array.from(delta)),
    )
    for (const [i, expected] of parameters.entries()) {
      assert.ok(Math.abs(end![i]! - expected) < 2e-6, `${i}: ${end![i]} is not ${expected}`)
    }
  })
}

test('two steps as one would write them down', () => {
  const deltas = [Float32Array.of(0.5), Float32Array.of(-0.25)]
  const end = (plan: OuterPlan) => run(plan, Float32Array.of(2), deltas).map(([value]) => value)
  assert.equal(end({ kind: 'fedavg', learningRate: 0.5 }), [2.125])
  // v: 0.5, then 0 = 0.5 * 0.5 - 0.25
  assert.equal(end({ kind: 'fedavgm', learningRate: 1, momentum: 0.5 }), [2.5, 0])
  // 2 + 0.5 * 0.5 + 0.5 = 2.75, then + 0.5 * 0 - 0.25
  assert.equal(end({ kind: 'nesterov', learningRate: 1, momentum: 0.5 }), [2.5, 0])
  // m: 0.25, 0; s: 0.25 (0.5 + 0.5 * 0.25 of tau = 0.5: 0.25), then 0.125 + 0.03125
  const plan = { kind: 'fedadam', learningRate: 1, beta1: 0.5, beta2: 0.5, adaptivity: 0.5 } as const
  assert.equal(end(plan), [2.25, 0, 0.15625])
})

test('a hundred rounds give the bits that numpy gives', () => {
  const { length, rounds, sha256 } = recorded.bits
  for (const [name, plan] of Object.entries(outerPlans)) {
    const random = createRandom(5)
    const vector = (scale: number) => Float32Array.from({ length }, () => (random.unit() - 0.5) * scale)
    const start = vector(2)
    const deltas = Array.from({ length: rounds }, () => vector(0.125))
    const bytes = run(plan, start, deltas).map((each) => new Uint8Array(each.buffer))
    assert.is(toHex(sha256Of(Buffer.concat(bytes))), sha256[name], name)
  }
})

test('what is given is not changed', () => {
  for (const plan of Object.values(outerPlans)) {
    const optimizer = createOuterOptimizer(plan)
    const state = optimizer.initialState(2)
    const step = { parameters: Float32Array.of(1, 2), delta: Float32Array.of(0.5, 0.25), state }
    const before = structuredClone(step)
    assert.is(optimizer.stateNames.length, state.length)
    const once = optimizer.apply(step)
    assert.equal(step, before)
    assert.equal(optimizer.apply(step), once)
  }
})

test('wrong lengths and what is not finite are refused', () => {
  for (const plan of Object.values(outerPlans)) {
    const optimizer = createOuterOptimizer(plan)
    const apply = (parameters: number[], delta: number[], state = optimizer.initialState(parameters.length)) =>
      codeOf(() =>
        optimizer.apply({ parameters: Float32Array.from(parameters), delta: Float32Array.from(delta), state }),
      )
    assert.is(apply([1, 2], [1]), 'wrong_shape')
    assert.is(apply([1, 2], [1, 2], [new Float32Array(2), new Float32Array(2), new Float32Array(2)]), 'wrong_shape')
    assert.is(apply([1, 2], [1, Number.NaN]), 'not_finite')
    assert.is(apply([1, 2], [Number.POSITIVE_INFINITY, 1]), 'not_finite')
    assert.is(apply([Number.NEGATIVE_INFINITY], [1]), 'not_finite')
    assert.is(apply([3e38], [3e38]), 'not_finite')
    assert.is(apply([], []), 'none')
  }
})

test('plans out of bounds are refused', () => {
  const plan: OuterPlan = { ...outerPlans.fedadam }
  for (const change of [
    { learningRate: 0 },
    { learningRate: Number.NaN },
    { learningRate: 101 },
    { beta1: 1 },
    { beta2: -0.1 },
    { adaptivity: 0 },
    { momentum: 0.9 },
    { kind: 'sgd' },
  ]) {
    assert.is(
      codeOf(() => createOuterOptimizer({ ...plan, ...change } as OuterPlan)),
      'bad_outer_plan',
    )
  }
  for (const good of Object.values(outerPlans)) assert.equal(outerPlanSchema.parse(good), good)
})

test.run()
