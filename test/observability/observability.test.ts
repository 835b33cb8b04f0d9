import * as assert from 'uvu/assert'
import { createLogger, createPrometheus } from '../../src/observability/index.ts'
import { suite } from '../suite.ts'

const test = suite('observability')

test('a log line is JSON with its fields, and secrets are censored', () => {
  const lines: string[] = []
  const log = createLogger({ level: 'info', format: 'json', write: (line) => lines.push(line) }).child({ room: 'test' })
  log.debug({ hidden: true }, 'below the level')
  log.info({ round: 3, swarmKey: 'canary-1', nested: { seed: 'canary-2' } }, 'round certified')
  assert.is(lines.length, 1)
  const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>
  assert.is(line['room'], 'test')
  assert.is(line['round'], 3)
  assert.is(line['msg'], 'round certified')
  assert.not.match(lines.join(''), /canary/)
})

test('the text format is one readable line', () => {
  const lines: string[] = []
  createLogger({ level: 'info', format: 'text', write: (line) => lines.push(line) }).warn({ port: 8080 }, 'taken')
  assert.match(lines[0] ?? '', /^\d\d:\d\d:\d\d {2}warn {3}taken {2}port=8080\n$/)
})

test('metrics come out as Prometheus text, and a name stands for one metric', async () => {
  const { metrics, text } = createPrometheus()
  metrics.counter('owm_test_total', 'Things.', ['kind']).add(2, { kind: 'a' })
  metrics.counter('owm_test_total', 'Things.', ['kind']).add(1, { kind: 'a' })
  metrics.gauge('owm_test_level', 'Level.').set(7)
  metrics.histogram('owm_test_seconds', 'Time.', [1, 10]).observe(2)
  const exposition = await text()
  assert.match(exposition, /owm_test_total\{kind="a"\} 3/)
  assert.match(exposition, /owm_test_level 7/)
  assert.match(exposition, /owm_test_seconds_bucket\{le="10"\} 1/)
})

test.run()
