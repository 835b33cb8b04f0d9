import * as assert from 'uvu/assert'
import type { Terminal } from '../../src/cli/terminal.ts'
import { createCurve } from '../../src/cli/training-view/curve.ts'
import { createPace } from '../../src/cli/training-view/pace.ts'
import { compact, duration, loss } from '../../src/cli/training-view/words.ts'
import { createTrainingView, type TrainingViewEvent } from '../../src/cli/training-view.ts'
import { manualClock } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'

const test = suite('view of a training')

/** Keeps what is said and the last thing drawn; counts drawings. */
function fakeTerminal(live: boolean, columns = 80, rows = 40) {
  const said: string[] = []
  const drawn: (readonly string[])[] = []
  const same = (text: string): string => text
  const terminal: Terminal = {
    json: false,
    live,
    columns,
    rows,
    result: () => undefined,
    say: (line) => said.push(line),
    draw: (lines) => drawn.push(lines),
    style: { bold: same, dim: same, green: same, yellow: same, red: same, cyan: same },
  }
  return { terminal, said, drawn }
}
const started = {
  kind: 'started',
  model: '2NN',
  parameters: 199_210,
  data: 'MNIST',
  examples: 60_000,
  steps: 1000,
  batch: 10,
  unit: 'nats',
} as const satisfies TrainingViewEvent
const progress = (step: number, value = 1): TrainingViewEvent => ({
  kind: 'progress',
  step,
  loss: value,
  learningRate: 0.1,
  stepsPerSecond: 10,
  examplesPerSecond: 100,
  memoryBytes: 2 ** 20,
})

test('live: bar, figures, time left and curve, drawn at most every 250 ms', () => {
  const clock = manualClock()
  const { terminal, said, drawn } = fakeTerminal(true)
  const view = createTrainingView(terminal, { clock, unicode: true })
  view.event(started)
  assert.equal(said, ['2NN (199k parameters) on MNIST, 60,000 examples, batches of 10'])
  assert.equal(drawn.at(-1), ['', `  ${'─'.repeat(54)}   0 %  step 0 of 1,000`])
  for (let step = 10; step <= 500; step += 10) {
    clock.advance(100)
    view.event(progress(step, 100 / step))
  }
  view.event({ kind: 'measured', step: 500, loss: 0.25, accuracy: 0.975 })
  view.event({ kind: 'saved', step: 500, bytes: 2048 })
  clock.advance(1000)
  const rounds = drawn.length
  clock.advance(60_000)
  assert.is(drawn.length, rounds, 'nothing new, nothing drawn')
  assert.ok(rounds > 10 && rounds < 25, `${rounds} drawings in 6 s`)
  const block = drawn.at(-1)!
  assert.equal(block.slice(0, 5), [
    '',
    `  ${'━'.repeat(26)}${'─'.repeat(26)}  50 %  step 500 of 1,000`,
    '  loss 0.2000 nats   held out 0.2500 nats, 97.50 % right   rate 0.100',
    '  10.0 steps/s   100 examples/s   5 s left   memory 1.0 MiB',
    '  saved step 500, 2.0 KiB',
  ])
  assert.is(block.length, 5 + 14)
  assert.match(block[5]!, /── training {3}╌╌ held out/)
  view.event({ kind: 'finished', step: 1000, seconds: 61.4, loss: 0.125 })
  assert.is(said.length, 1 + 14 + 1)
  assert.is(said.at(-1), '  ✓ 1,000 steps in 1:01 min, loss 0.1250 nats, held out 0.2500 nats, 97.50 % right')
  view.stop()
  clock.advance(1000)
  assert.is(said.length, 16)
})

test('live: what is drawn fits into any terminal', () => {
  for (const [columns, rows] of [
    [20, 3],
    [20, 12],
    [33, 24],
    [50, 9],
    [200, 60],
  ] as const) {
    const clock = manualClock()
    const { terminal, drawn } = fakeTerminal(true, columns, rows)
    const view = createTrainingView(terminal, { clock, unicode: columns > 40 })
    view.event({ ...started, steps: 1_000_000, resumedAt: 0, unit: 'squared error' })
    for (let step = 1; step < 100; step++) {
      clock.advance(500)
      view.event(progress(step * 10_000, 1e5 / step))
      view.event({ kind: 'measured', step: step * 10_000, loss: Number.NaN })
    }
    for (const block of drawn) {
      assert.ok(block.length < rows, `${block.length} lines of ${rows}`)
      for (const line of block) assert.ok(line.length < columns, line)
    }
  }
})

test('live: stopped early, what was drawn stays, and nothing is drawn any more', () => {
  const clock = manualClock()
  const { terminal, said, drawn } = fakeTerminal(true)
  const view = createTrainingView(terminal, { clock, unicode: true })
  view.event(started)
  view.event(progress(10))
  const rounds = drawn.length
  view.stop()
  clock.advance(1000)
  assert.is(drawn.length, rounds)
  assert.match(said.join('\n'), /step 10 of 1,000/)
})

test('not live: lines at 5 % of the steps, at 10 s, and ever more seldom', () => {
  const stepsTold = (msPerStep: number, steps: number) => {
    const clock = manualClock()
    const { terminal, said, drawn } = fakeTerminal(false)
    const view = createTrainingView(terminal, { clock })
    view.event({ ...started, steps })
    for (let step = 1; step <= steps; step++) {
      clock.advance(msPerStep)
      view.event(progress(step))
    }
    assert.is(drawn.length, 0)
    return said.slice(1).map((line) => Number(/^step ([\d,]+)/.exec(line)![1]!.replaceAll(',', '')))
  }
  assert.equal(stepsTold(40, 100), [25, 50, 75, 100])
  assert.equal(stepsTold(200, 100).slice(0, 3), [5, 10, 15])
  const long = stepsTold(1000, 20_000)
  assert.equal(long.slice(0, 3), [10, 20, 30])
  assert.ok(long.length < 120, `${long.length} lines in five hours`)
})

test('not live: what was measured, and the end', () => {
  const clock = manualClock()
  const { terminal, said } = fakeTerminal(false)
  const view = createTrainingView(terminal, { clock })
  view.event({ ...started, resumedAt: 400, unit: 'bits/byte' })
  view.event({ kind: 'measured', step: 400, loss: 2.5 })
  view.event({ kind: 'saved', step: 450, bytes: 2048 })
  clock.advance(10_000)
  view.event(progress(460, 0.00123))
  clock.advance(10_000)
  view.event(progress(470, 2))
  view.event({ kind: 'finished', step: 1000, seconds: 7500, loss: 2 })
  assert.equal(said, [
    '2NN (199k parameters) on MNIST, 60,000 examples, batches of 10, on from step 400',
    'step 400: held out 2.5000 bits/byte',
    'step 460 of 1,000 (46 %)  loss 0.00123 bits/byte  10.0 steps/s  100 examples/s  memory 1.0 MiB  saved step 450, 2.0 KiB',
    'step 470 of 1,000 (47 %)  loss 2.0000 bits/byte  10.0 steps/s  100 examples/s  8:50 min left  memory 1.0 MiB  saved step 450, 2.0 KiB',
    '1,000 steps in 2:05 h, loss 2.0000 bits/byte, held out 2.5000 bits/byte',
  ])
})

test('the pace counts pauses that belong to it, and not a lid that was closed', () => {
  const pace = createPace()
  assert.is(pace.stepMs(), null)
  let nowMs = 0
  const after = (ms: number, step: number): void => {
    nowMs += ms
    pace.at(step, nowMs)
  }
  after(0, 100)
  assert.is(pace.stepMs(), null)
  // Each fifth interval of 10 steps takes twice as long.
  for (let i = 1; i <= 40; i++) after(i % 5 === 0 ? 200 : 100, 100 + i * 10)
  assert.is(pace.stepMs(), 12)
  after(3_600_000, 510)
  assert.ok(pace.stepMs()! < 15, `${pace.stepMs()}`)
  after(1, 510)
  for (let i = 1; i <= 40; i++) after(i === 1 ? 49 : 50, 510 + i)
  assert.is(pace.stepMs(), 50)
})

test('a curve of any length keeps its shape in bounded memory', () => {
  const curve = createCurve()
  const count = 100_000
  for (let step = 1; step <= count; step++) curve.add(step, 2 * step)
  const points = curve.points()
  assert.ok(points.length > 500 && points.length <= 1024, `${points.length}`)
  assert.ok(points.every(([x, y], i) => Math.abs(y - 2 * x) < 1e-6 && (i === 0 || x > points[i - 1]![0])))
  assert.ok(points.at(-1)![0] > count - 300)
})

test('numbers as people read them', () => {
  assert.equal([0.5234, 9.41, 52.06, 94.06, 99.97, 941, 999.7, 94_100, 999_600, 2e6].map(compact), [
    '0.52',
    '9.41',
    '52.1',
    '94.1',
    '100',
    '941',
    '1.00k',
    '94.1k',
    '1.00M',
    '2.00M',
  ])
  assert.equal([0, 2.25, 0.00123, -0.5, Number.NaN].map(loss), ['0.0000', '2.2500', '0.00123', '-0.5000', 'NaN'])
  assert.equal([0.2, 59.6, 187, 8100, 300_000].map(duration), ['0 s', '1:00 min', '3:07 min', '2:15 h', '3.5 days'])
})

test.run()
