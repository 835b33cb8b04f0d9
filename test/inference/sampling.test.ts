import * as assert from 'uvu/assert'
import { type SamplingOptions, sampleToken } from '../../src/inference/sampling.ts'
import { createStopFilter } from '../../src/inference/stop-strings.ts'
import { createRandom } from '../../src/onnx/index.ts'
import { suite } from '../suite.ts'

const test = suite('sampling')
/** Shares of 0.5, 0.3, 0.15 and 0.05, in another order. */
const logits = Float32Array.from([0.15, 0.5, 0.05, 0.3], Math.log)

function shares(options: SamplingOptions): number[] {
  const random = createRandom(11)
  const counts = [0, 0, 0, 0]
  for (let draw = 0; draw < 20_000; draw++) counts[sampleToken(logits, options, random)]!++
  return counts.map((count) => count / 20_000)
}
function near(actual: readonly number[], expected: readonly number[]): void {
  for (const [i, share] of actual.entries())
    assert.ok(Math.abs(share - expected[i]!) < 0.015, `${actual} for ${expected}`)
}

test('temperature 1 draws by the model’s own shares', () => near(shares({ temperature: 1 }), [0.15, 0.5, 0.05, 0.3]))

test('a low temperature sharpens, a high one flattens', () => {
  const powers = [0.15 ** 2, 0.5 ** 2, 0.05 ** 2, 0.3 ** 2]
  const sum = powers.reduce((a, b) => a + b, 0)
  near(
    shares({ temperature: 0.5 }),
    powers.map((power) => power / sum),
  )
  near(shares({ temperature: 100 }), [0.25, 0.25, 0.25, 0.25])
})

test('top-k keeps the likeliest, top-p the fewest that reach it', () => {
  near(shares({ temperature: 1, topK: 2 }), [0, 0.625, 0, 0.375])
  near(shares({ temperature: 1, topP: 0.79 }), [0, 0.625, 0, 0.375])
  near(shares({ temperature: 1, topP: 0.81 }), [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95])
  near(shares({ temperature: 1, topP: 0.01 }), [0, 1, 0, 0])
  near(shares({ temperature: 1, topK: 9, topP: 1 }), [0.15, 0.5, 0.05, 0.3])
})

test('temperature 0 takes the likeliest, of equals the first', () => {
  assert.is(sampleToken(logits, { temperature: 0 }, createRandom(1)), 1)
  assert.is(sampleToken(new Float32Array(5), { temperature: 0 }, createRandom(1)), 0)
})

test('logits far apart do not overflow', () => {
  assert.is(sampleToken(Float32Array.of(-3e38, 3e38), { temperature: 0.01 }, createRandom(1)), 1)
})

test('a stop filter gives all bytes before the stop, whatever the overlap', () => {
  const run = (text: string, ...stops: string[]): string => {
    const filter = createStopFilter(stops.map((stop) => new TextEncoder().encode(stop)))
    let out = ''
    for (const byte of new TextEncoder().encode(text)) {
      const { bytes, stopped } = filter.push(byte)
      out += Buffer.from(bytes).toString()
      if (stopped) return out
    }
    return `${out}${Buffer.from(filter.rest()).toString()}.`
  }
  assert.is(run('aaab!', 'aab'), 'a')
  assert.is(run('ababac!', 'abac'), 'ab')
  assert.is(run('hello', 'lo world', 'el'), 'h')
  assert.is(run('hello', 'low'), 'hello.')
  assert.is(run('hello'), 'hello.')
})

test.run()
