import * as assert from 'uvu/assert'
import { suite } from '../suite.ts'
import { jsonOf, stage } from './harness.ts'
import { cidNumber, makeRound, makeRun } from './twins.ts'

const test = suite('gateway: runs')

test('runs are listed, and one is told with its rounds, the newest first', async () => {
  await using peer = await stage()
  const rejected = [{ trainer: 'liar', code: 'over_bound' }]
  const run = makeRun({
    rounds: [makeRound(1), makeRound(2)],
    observed: [{ round: 2, sentBytes: 10, receivedBytes: 20, rejected, passedOver: ['silent'] }],
    specification: { clipNorm: 3 },
    status: 'paused',
    control: { action: 'pause', last: 2, sequence: 5 },
  })
  peer.federation.current = [run, makeRun({ id: cidNumber(1001) })]
  const list = await jsonOf(fetch(`${peer.url}/v1/runs?limit=1`))
  assert.is(list['total'], 2)
  const [first] = list['runs'] as Record<string, unknown>[]
  assert.is(first?.['status'], 'paused')
  assert.equal(first?.['control'], { action: 'pause', last: 2 })
  const told = await jsonOf(fetch(`${peer.url}/v1/runs/${run.id}`))
  assert.equal(told['specification'], { clipNorm: 3 })
  const rounds = told['rounds'] as Record<string, unknown>[]
  assert.equal(
    rounds.map((round) => round['round']),
    [2, 1],
  )
  assert.equal(rounds[0]?.['observed'], { sent_bytes: 10, received_bytes: 20, rejected, passed_over: ['silent'] })
  assert.is(rounds[1]?.['observed'], null)
  assert.is((await fetch(`${peer.url}/v1/runs/none`)).status, 404)
  assert.is((await fetch(`${peer.url}/v1/runs?limit=0`)).status, 400)
})

test.run()
