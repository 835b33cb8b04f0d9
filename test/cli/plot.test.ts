import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { axisLabel, linearTicks, logTicks } from '../../src/cli/plot/ticks.ts'
import { type PlotInit, type PlotSeries, plotLines, showsUnicode, smoothed } from '../../src/cli/plot.ts'
import { suite } from '../suite.ts'

const test = suite('plot')

const loss = (...points: [number, number][]): PlotSeries => ({ name: 'loss', points })

test('a line of braille dots with its axes', () => {
  assert.equal(plotLines([loss([0, 0], [5, 5], [10, 0])], { width: 16, height: 6 }), [
    '   ── loss',
    '5 ┤    ⢀⡠⠊⠢⡀',
    '  │  ⢀⠔⠁   ⠈⠢⢄',
    '0 ┤⡠⠊⠁        ⠑⢄',
    '  └┬───────────┬',
    '   0          10',
  ])
})

test('ASCII, two series, and the name of x where it fits', () => {
  const series = [loss([0, 0], [5, 5], [10, 0]), { ...loss([0, 2], [10, 2]), name: 'held out' }]
  const init = { width: 30, height: 8, ascii: true }
  const lines = plotLines(series, init)
  assert.equal(lines, [
    '   * loss   o held out',
    '5 +            ***',
    '  |         ***   ***',
    '  |ooooooooooooooooooooooooooo',
    '  |  ***                 ***',
    '0 +**                       **',
    '  ++-------------------------+',
    '   0                        10',
  ])
  const last = (xName: string) => plotLines([loss([0, 0], [9, 1])], { ...init, xName }).at(-1)
  assert.is(last('step'), '     0            5       step')
  assert.is(last('a longer name'), '     0            5')
})

test('a logarithmic axis, on which 0 has no place, and a gap where there is no number', () => {
  const points: [number, number][] = [
    [0, 9],
    [1, 1],
    [10, 2],
    [100, Number.NaN],
    [1000, 4],
  ]
  assert.equal(plotLines([loss(...points)], { width: 30, height: 7, x: 'log' }), [
    '   ── loss',
    '4 ┤                          ⠈',
    '  │',
    '2 ┤      ⢀⣀⡠⠄',
    '  │⣀⠤⠤⠒⠒⠉⠁',
    '  └┬────────┬───────┬────────┬',
    '   1       10      100      1k',
  ])
})

test('one point, and a series that does not change, stand in the middle', () => {
  assert.equal(plotLines([loss([7, 3])], { width: 24, height: 6 }), [
    '     ── loss',
    '3.2 ┤',
    '3.0 ┤         ⠠',
    '2.8 ┤',
    '    └─────────┬─────────',
    '              7',
  ])
  const constant = plotLines([loss([1, 0], [9, 0])], { width: 24, height: 6 })
  assert.equal(constant.slice(1, 4), [' 1 ┤', ' 0 ┤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤', '-1 ┤'])
})

test('dashes and colours tell series apart; a cell is of who drew last', () => {
  const lines = plotLines(
    [
      { ...loss([0, 0], [20, 0]), paint: (text) => `<a:${text}>` },
      { ...loss([0, 0], [10, 0], [20, 1]), paint: (text) => `<b:${text}>`, dashed: true },
    ],
    { width: 22, height: 4 },
  )
  assert.equal(lines, [
    '   <a:──> loss   <b:╌╌> loss',
    '0 ┤<b:⣀⣀><a:⣀><b:⣀⣀><a:⣀><b:⣀⣀><a:⣀><b:⣀⣀><a:⣀><b:⣤⣄><a:⣀><b:⣒⣂><a:⣀><b:⣉>',
    '  └┬─────────────────┬',
    '   0                20',
  ])
})

test('no points, no room: no lines', () => {
  const init = { width: 40, height: 8 }
  assert.equal(plotLines([], init), [])
  assert.equal(plotLines([loss()], init), [])
  assert.equal(plotLines([loss([1, Number.NaN], [2, Number.POSITIVE_INFINITY])], init), [])
  assert.equal(plotLines([loss([0, 1], [-5, 1])], { ...init, x: 'log' }), [])
  assert.equal(plotLines([loss([1, 1])], { width: 40, height: 3 }), [])
  assert.equal(plotLines([loss([1, 1])], { width: 9, height: 8 }), [])
})

test('whatever is drawn stays within its width and height', () => {
  const value = fc.oneof(fc.double({ min: -1e3, max: 1e3 }), fc.double(), fc.integer({ min: -5, max: 5 }))
  const points = fc
    .array(fc.tuple(fc.oneof(fc.nat(1e6), fc.double({ noNaN: true })), value), { maxLength: 30 })
    .map((each) => each.sort(([a], [b]) => a - b))
  fc.assert(
    fc.property(
      fc.array(points, { maxLength: 3 }),
      fc.integer({ min: 1, max: 70 }),
      fc.integer({ min: 1, max: 20 }),
      fc.constantFrom<PlotInit['x']>('linear', 'log'),
      fc.boolean(),
      (all, width, height, x, ascii) => {
        const series = all.map((each, i) => ({ name: `series ${i}`, points: each, dashed: i === 1 }))
        const lines = plotLines(series, { width, height, x: x!, ascii, xName: 'step' })
        assert.ok(lines.length === 0 || lines.length === height, `${lines.length} lines`)
        for (const line of lines) assert.ok(line.length <= width, `${line.length}: ${line}`)
        if (ascii) for (const line of lines) assert.match(line, /^[ -~]*$/)
      },
    ),
    { numRuns: 400 },
  )
})

test('labels are round numbers with the digits that they need', () => {
  const labels = (low: number, high: number, most: number) => linearTicks(low, high, most).map(({ label }) => label)
  assert.equal(labels(0, 1, 4), ['0', '0.5', '1.0'])
  assert.equal(labels(0.11, 0.19, 1), ['0.12', '0.14', '0.16', '0.18'])
  assert.equal(labels(1e-7, 3e-7, 4), ['1.0e-7', '1.5e-7', '2.0e-7', '2.5e-7', '3.0e-7'])
  assert.equal(labels(-2, 2, 5), ['-2', '-1', '0', '1', '2'])
  assert.equal(labels(0, 2e6, 4), ['0', '500k', '1M', '1.5M', '2M'])
  assert.equal(
    linearTicks(0.5, 1.5, 9, 1).map(({ value }) => value),
    [1],
  )
  const log = (low: number, high: number, most: number) =>
    logTicks(low, high, most)
      .map(({ label }) => label)
      .join(' ')
  assert.is(log(0, 2, 9), '1 2 5 10 20 50 100')
  assert.is(log(0, 4, 8), '1 10 100 1k 10k')
  assert.is(log(0, 9, 4), '1 1k 1M 1G')
  assert.is(log(2.05, 2.2, 8), '120 140')
  assert.is(axisLabel(0.1 + 0.2, 0.1), '0.3')
  assert.is(axisLabel(-2500, 500), '-2.5k')
  assert.is(axisLabel(1234567, 1), '1234567')
  assert.is(axisLabel(1e20, 1e20), '1e20')
})

test('smoothing has no bias towards 0, and steps over what is no number', () => {
  assert.equal(smoothed([4, 4, 4], 0.5), [4, 4, 4])
  // 0.5 * 1 / 0.5; (0.25 * 1 + 0.5 * 4) / 0.75
  assert.equal(smoothed([1, 4], 0.5), [1, 3])
  assert.equal(smoothed([1, Number.NaN, 4], 0.5), [1, Number.NaN, 3])
  assert.equal(smoothed([1, 4, -2], 0), [1, 4, -2])
  assert.equal(smoothed([], 0.9), [])
})

test('a terminal without UTF-8 gets ASCII', () => {
  assert.ok(showsUnicode({ LANG: 'en_GB.UTF-8', TERM: 'xterm' }, 'linux'))
  assert.ok(showsUnicode({ LC_ALL: '', LANG: 'C.utf8' }, 'linux'))
  assert.ok(showsUnicode({}, 'win32'))
  assert.not(showsUnicode({}, 'linux'))
  assert.not(showsUnicode({ LC_ALL: 'C', LANG: 'en_GB.UTF-8' }, 'linux'))
  for (const TERM of ['dumb', 'linux']) assert.not(showsUnicode({ LANG: 'en_GB.UTF-8', TERM }, 'linux'))
})

test.run()
