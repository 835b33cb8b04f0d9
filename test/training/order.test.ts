import * as assert from 'uvu/assert'
import { createOrder } from '../../src/training/data/order.ts'
import { suite } from '../suite.ts'

const test = suite('order of examples')

for (const length of [1, 2, 3, 16, 17, 1000]) {
  test(`each epoch of ${length} sees each example once`, () => {
    const order = createOrder(length, 7)
    for (const epoch of [0, 1, 2]) {
      const seen = new Set(Array.from({ length }, (_, at) => order(epoch * length + at)))
      assert.is(seen.size, length)
      assert.ok([...seen].every((example) => example >= 0 && example < length))
    }
  })
}

test('epochs and seeds differ, and any place can be told alone', () => {
  const places = (seed: number, from: number) => {
    const order = createOrder(100, seed)
    return Array.from({ length: 100 }, (_, at) => order(from + at))
  }
  assert.not.equal(places(1, 0), places(1, 100))
  assert.not.equal(places(1, 0), places(2, 0))
  assert.is(createOrder(100, 1)(157), places(1, 100)[57])
})

test('neighbours do not stay together', () => {
  const length = 10_000
  const order = createOrder(length, 3)
  const values = Array.from({ length }, (_, at) => order(at))
  const near = values.filter((value, at) => at > 0 && Math.abs(value - values[at - 1]!) < 100).length
  // By chance 2 %.
  assert.ok(near > 100 && near < 320, `${near} of ${length}`)
  const mean = values.slice(0, 1000).reduce((sum, value) => sum + value, 0) / 1000
  assert.ok(Math.abs(mean - length / 2) < 400, `the first thousand's mean is ${mean}`)
})

test.run()
