import * as assert from 'uvu/assert'
import { manualClock } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import { type Json, jsonOf, stage } from './harness.ts'
import { cidNumber, makeLink, makeManifest, makeRound, makeRun, peerNumber } from './twins.ts'

const test = suite('dashboard')
const hostile = `"><img src=x onerror=alert(1)>'&\u202e\u0007`

test('the page works without scripts: mesh, curve, round, checkpoints and the question are in the first reply', async () => {
  await using peer = await stage({}, { baselines: () => [{ name: 'bigram', bitsPerByte: 4.1 }] })
  const [self, other] = [(await peerNumber(0)).toString(), await peerNumber(1)]
  peer.manifests.current = [makeManifest(other)]
  peer.network.current = [makeLink(other)]
  peer.federation.current = [
    makeRun({
      round: 3,
      phase: 'collecting',
      leader: self,
      committee: [self],
      roster: [self, other.toString()],
      rounds: [makeRound(1), makeRound(2)],
    }),
  ]
  const reply = await fetch(peer.url)
  const page = await reply.text()
  assert.is(reply.status, 200)
  assert.match(reply.headers.get('content-type') ?? '', 'text/html')
  assert.match(page, '2 peers are training <bdi>owm-code</bdi>')
  assert.match(page, `data-node="${other}"`)
  assert.match(page, 'class="trace"')
  assert.match(page, 'Initial weights: 8.020 bits per byte')
  assert.match(page, '>bigram</text>')
  assert.match(page, 'Round 3 <small>of 8</small>')
  assert.match(page, '<li class="now" aria-current="step">collect</li>')
  assert.match(page, cidNumber(2))
  assert.match(page, 'id="ask-form"')
})

test('nothing on the page is inline or from elsewhere, and its policy says so', async () => {
  await using peer = await stage()
  peer.federation.current = [makeRun({ rounds: [makeRound(1)] })]
  const reply = await fetch(peer.url)
  const page = await reply.text()
  const policy = reply.headers.get('content-security-policy') ?? ''
  assert.match(policy, "default-src 'none'")
  assert.not.match(policy, 'unsafe')
  assert.not.match(page, /<script(?![^>]*\ssrc=)/)
  assert.not.match(page, /\sstyle=|<style|\son[a-z]+=|javascript:|https?:\/\//)
  for (const [, path] of page.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
    const asset = await fetch(peer.url + path)
    assert.is(asset.status, 200, path)
    assert.match(asset.headers.get('cache-control') ?? '', 'immutable')
  }
  assert.match((await fetch(`${peer.url}/assets/mesh.js`)).headers.get('content-type') ?? '', 'text/javascript')
  for (const path of ['/assets/none.js', '/assets/..%2findex.ts', '/assets/%2e%2e/index.ts', '/assets/__proto__']) {
    assert.is((await fetch(peer.url + path)).status, 404, path)
  }
})

test('whatever strangers write stays text', async () => {
  await using peer = await stage({}, { baselines: () => [{ name: hostile, bitsPerByte: 4 }] })
  const other = await peerNumber(1)
  peer.manifests.current = [makeManifest(other, { agent: hostile.repeat(50), gateway: `javascript:${hostile}` })]
  peer.federation.current = [
    makeRun({
      id: hostile,
      name: hostile,
      leader: hostile,
      committee: [hostile],
      roster: [hostile],
      rounds: [
        makeRound(1, {
          checkpoint: hostile,
          leader: hostile,
          trainers: [hostile],
          heldOutLoss: 1e308,
          seconds: Number.NaN,
          certifiedMs: 1e300,
        }),
      ],
    }),
    makeRun({ id: 'second', name: hostile }),
  ]
  peer.federation.emit({ type: 'run-joined', run: hostile, atMs: Number.POSITIVE_INFINITY, name: hostile })
  peer.federation.emit({ type: 'update-rejected', run: hostile, atMs: -1, round: 1, trainer: hostile, code: hostile })
  const page = await (await fetch(peer.url)).text()
  const fragments = Object.values(await jsonOf(fetch(`${peer.url}/fragments`))).join('')
  for (const text of [page, fragments]) {
    assert.not.match(text, '<img')
    // The quote that would end an attribute never comes before the rest of the attack.
    assert.not.match(text, /["']>?(?:<|&lt;)img/)
    for (const invisible of ['\u202e', '\u0007']) assert.not.ok(text.includes(invisible))
    assert.match(text, '&lt;img')
  }
  assert.ok(page.length < 100_000)
})

test('fragments are the parts of the page by id, and follow what happens', async () => {
  const clock = manualClock()
  await using peer = await stage({}, { clock })
  const self = (await peerNumber(0)).toString()
  peer.federation.current = [makeRun({ round: 1, roster: [self] })]
  const before = await jsonOf(fetch(`${peer.url}/fragments`))
  assert.equal(Object.keys(before).sort(), ['checkpoints', 'curve', 'lately', 'mesh', 'moment', 'round', 'summary'])
  for (const [id, text] of Object.entries(before)) assert.match(String(text), ` id="${id}"`)
  const atMs = clock.now()
  peer.federation.emit({
    type: 'train-progress',
    run: cidNumber(1000),
    atMs,
    round: 1,
    trainer: self,
    step: 77,
    loss: 3.456,
    stepsPerSecond: 9,
  })
  peer.federation.emit({ type: 'update-accepted', run: cidNumber(1000), atMs, round: 1, trainer: self, update: 'u' })
  assert.equal(await jsonOf(fetch(`${peer.url}/fragments`)), before, 'a rendering is good for a moment')
  clock.advance(1000)
  const after = await jsonOf(fetch(`${peer.url}/fragments`))
  assert.match(String(after['round']), '>77</td>')
  assert.match(String(after['round']), '>3.46</td>')
  assert.match(String(after['round']), 'mark in')
  assert.match(String(after['lately']), `The update of ${self.slice(-6)} is in`)
  peer.federation.emit({ type: 'round-started', run: cidNumber(1000), atMs, round: 2, leader: self, committee: [self] })
  clock.advance(1000)
  assert.not.match(
    String((await jsonOf(fetch(`${peer.url}/fragments`)))['round']),
    '>77</td>',
    'a new round starts blank',
  )
})

test('joins and leaves are told, and a member that is gone is shown as missing', async () => {
  const clock = manualClock()
  await using peer = await stage({}, { clock })
  const gone = await peerNumber(1)
  peer.federation.current = [makeRun({ roster: [gone.toString()] })]
  peer.manifests.emit({ type: 'left', peer: gone })
  const page = await (await fetch(peer.url)).text()
  assert.match(page, `${gone.toString().slice(-6)} left the mesh`)
  assert.match(page, 'class="dot missing" r="6.5"')
  assert.match(page, 'mark refused">missing')
})

test('of several runs one can be chosen', async () => {
  await using peer = await stage()
  peer.federation.current = [
    makeRun({ id: 'a', name: 'first' }),
    makeRun({ id: 'b', name: 'second', status: 'finished' }),
  ]
  const headline = async (query: string): Promise<string> =>
    /<h1>(.*)<\/h1>/.exec(await (await fetch(peer.url + query)).text())?.[1] ?? ''
  assert.match(await headline('/'), 'first')
  assert.match(await headline('/?run=b'), 'second')
  assert.match(await headline('/?run=c'), 'first')
})

test('nothing known yet is a page too', async () => {
  await using peer = await stage()
  const page = await (await fetch(peer.url)).text()
  assert.match(page, '1 peer in the mesh, and nothing to learn yet.')
  assert.match(page, 'No run is under way')
})

test('a dashboard beside no gateway has no box to ask', async () => {
  await using peer = await stage({ gateway: false })
  const page = await (await fetch(peer.url)).text()
  assert.not.match(page, 'ask-form')
  assert.is((await fetch(`${peer.url}/v1/models`)).status, 404)
  const events = await fetch(`${peer.url}/v1/events`)
  assert.is(events.status, 200)
  await events.body?.cancel()
})

test('a mesh of hundreds is drawn in part, and says so', async () => {
  await using peer = await stage()
  peer.manifests.current = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => makeManifest(await peerNumber(i))),
  )
  const fragments = (await jsonOf(fetch(`${peer.url}/fragments`))) as Json
  const drawn = String(fragments['mesh']).match(/class="node[ "]/g)?.length
  assert.is(drawn, 60)
  assert.match(String(fragments['mesh']), 'and 140 more peers')
  assert.match(String(fragments['mesh']), '200 peers')
})

test('a run has a page of its own: participation, bytes, refusals, committee, plan and lineage, without scripts', async () => {
  await using peer = await stage()
  const [self, other] = [(await peerNumber(0)).toString(), (await peerNumber(1)).toString()]
  const run = makeRun({
    round: 3,
    owner: self,
    leader: self,
    committee: [self, other],
    roster: [self, other],
    rounds: [makeRound(1, { leader: other }), makeRound(2, { leader: self, attempt: 1, updateBytes: 3 * 1024 })],
    observed: [
      { round: 1, sentBytes: 0, receivedBytes: 0, rejected: [], passedOver: [] },
      {
        round: 2,
        sentBytes: 5 * 1024,
        receivedBytes: 7 * 1024,
        rejected: [{ trainer: other, code: 'over_bound' }],
        passedOver: [other],
      },
    ],
    specification: {
      initial: cidNumber(77),
      clipNorm: 12.5,
      model: { layers: 2 },
      codec: { kind: 'top-k', share: 0.01 },
    },
    control: { action: 'pause', last: 3, sequence: 9 },
  })
  peer.federation.current = [run, makeRun({ id: cidNumber(1001), name: 'other-one', status: 'paused' })]
  const reply = await fetch(`${peer.url}/runs/${run.id}`)
  const page = await reply.text()
  assert.is(reply.status, 200)
  assert.match(reply.headers.get('content-security-policy') ?? '', "default-src 'none'")
  assert.not.match(page, /\sstyle=|<style|\son[a-z]+=|javascript:|https?:\/\//)
  for (const words of [
    '<bdi>owm-code</bdi> is in round 3 of 8.',
    'Its owner pauses it after round 3.',
    'Updates counted, rounds 1 to 2: 2 in the newest, 2 at most.',
    '3.0 KiB',
    '5.0 KiB',
    '7.0 KiB',
    'longer than the run allows <code>over_bound</code>',
    '1 leader passed over before',
    'Attempt 2: the first committee had died',
    'kind top-k, share 0.01',
    cidNumber(3002),
    cidNumber(77),
    `href="/runs/${cidNumber(1001)}"`,
  ]) {
    assert.ok(page.includes(words), words)
  }
  const fragments = await jsonOf(fetch(`${peer.url}/runs/${run.id}/fragments`))
  assert.match(page, `data-fragments="/runs/${run.id}/fragments"`)
  for (const [id, text] of Object.entries(fragments)) {
    assert.match(String(text), ` id="${id}"`)
    assert.match(page, ` id="${id}"`)
  }
  assert.match(await (await fetch(peer.url)).text(), `href="/runs/${run.id}"`)
  assert.match(await (await fetch(`${peer.url}/runs/${cidNumber(1001)}`)).text(), 'is paused')
  const none = await fetch(`${peer.url}/runs/none`)
  assert.is(none.status, 404)
  assert.match(await none.text(), 'knows no such run')
  assert.is((await fetch(`${peer.url}/runs/none/fragments`)).status, 404)
})

test('what strangers write of a run stays text on its page', async () => {
  await using peer = await stage()
  peer.federation.current = [
    makeRun({
      id: 'r1',
      name: hostile,
      owner: hostile,
      leader: hostile,
      committee: [hostile],
      roster: [hostile],
      rounds: [
        makeRound(1, {
          checkpoint: hostile,
          certificate: hostile,
          leader: hostile,
          seconds: Number.NaN,
          updateBytes: -1,
        }),
      ],
      observed: [
        {
          round: 1,
          sentBytes: 0,
          receivedBytes: 0,
          rejected: [{ trainer: hostile, code: hostile }],
          passedOver: [hostile],
        },
      ],
      specification: { [hostile]: hostile, model: { [hostile]: hostile }, initial: hostile },
    }),
  ]
  const page = await (await fetch(`${peer.url}/runs/r1`)).text()
  assert.not.match(page, '<img')
  assert.not.match(page, /["']>?(?:<|&lt;)img/)
  for (const invisible of ['\u202e', '\u0007']) assert.not.ok(page.includes(invisible))
  assert.match(page, '&lt;img')
})

test.run()
