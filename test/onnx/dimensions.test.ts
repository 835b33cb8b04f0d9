import * as assert from 'uvu/assert'
import { errorCode } from '../../src/lib/index.ts'
import { add, broadcast, divide, multiply, subtract } from '../../src/onnx/dimensions.ts'
import { suite } from '../suite.ts'

const test = suite('onnx dimensions')

test('sums and products of sizes are written in one way', () => {
  assert.is(add(2, 'n', 3, 'n'), '2*n+5')
  assert.is(add('b', 'a'), add('a', 'b'))
  assert.is(subtract(add('n', 1), 1), 'n')
  assert.is(subtract('n', 'n'), 0)
  assert.is(subtract('past', add('past', 'n')), '-1*n')
  assert.is(multiply(['b', 2, 'a', 3]), '6*a*b')
  assert.is(multiply([add('n', 1), add('n', -1)]), 'n*n+-1')
  assert.is(multiply(['n', 0]), 0)
  assert.is(multiply(['b*a']), multiply(['a*b']))
})

test('a quotient is there where it comes out even', () => {
  assert.is(divide(['b', 'n', 6], [3, 'n']), '2*b')
  assert.is(divide([add('n', 1), 'b', 4], ['b', add('n', 1)]), 4)
  assert.is(divide([add('2*n', 4)], [2]), 'n+2')
  assert.is(divide([6], [4]), undefined)
  assert.is(divide(['b'], ['n']), undefined)
  assert.is(divide([add('n', 1)], [add('n', 2)]), undefined)
  assert.is(divide([6], [0]), undefined)
})

test('named sizes broadcast with themselves and with 1', () => {
  assert.equal(broadcast([1, 'n'], ['b', 1]), ['b', 'n'])
  assert.equal(broadcast([add('n', 'b')], [add('b', 'n')]), ['b+n'])
  assert.throws(() => broadcast(['n'], [2]))
})

test('what grows without end is refused', () => {
  const codeOf = (run: () => unknown): string => {
    try {
      run()
      return 'none'
    } catch (error) {
      return errorCode(error)
    }
  }
  const grown = (next: (size: number | string) => number | string) => () => {
    let size: number | string = add('a', 'b', 1)
    for (let i = 0; i < 64; i++) size = next(size)
  }
  assert.is(codeOf(grown((size) => multiply([size, size]))), 'bad_graph')
  assert.is(codeOf(grown((size) => multiply([size, add('c', 'd')]))), 'bad_graph')
})

test.run()
