import * as assert from 'uvu/assert'
import { openControl, signControl, supersedes } from '../../src/federation/control.ts'
import { judgeBeacon } from '../../src/federation/judging.ts'
import { openRun, signRun } from '../../src/federation/specification.ts'
import { createIdentity } from '../../src/identity/index.ts'
import { cidOf, encode, errorCode } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import { certified, cleanUp, connectAll, eventsOf, type MeshPeer, specificationFor, startPeer, until } from './mesh.ts'

const test = suite('control of runs')
test.afterEach(cleanUp)

const statusOf = (peer: MeshPeer) => peer.federation.runs()[0]?.status
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'no error', errorCode)

async function three(trainMs = 60): Promise<[MeshPeer, MeshPeer, MeshPeer]> {
  const peers: [MeshPeer, MeshPeer, MeshPeer] = [
    await startPeer({ trainMs }),
    await startPeer({ trainMs }),
    await startPeer({ trainMs }),
  ]
  await connectAll(peers)
  return peers
}

test('of two words the one with the higher sequence stands, in whatever order they come', () => {
  const identity = createIdentity()
  const run = cidOf(encode(['run'])).toString()
  const pause = signControl(identity, { run, sequence: 7, action: 'pause', last: 3 })
  const resume = signControl(identity, { run, sequence: 8, action: 'resume', last: null })
  const other = signControl(identity, { run, sequence: 8, action: 'cancel', last: 3 })
  assert.ok(supersedes(pause, null))
  assert.ok(supersedes(resume, pause))
  assert.not.ok(supersedes(pause, resume))
  assert.not.ok(supersedes(pause, pause))
  assert.is(supersedes(resume, other), !supersedes(other, resume), 'everybody takes the same of two')
  assert.throws(
    () => signControl(identity, { run, sequence: 9, action: 'pause', last: null }),
    (error: unknown) => errorCode(error) === 'schema_mismatch',
  )
})

test('a beacon with the word of another than the owner, or on another run, is refused', async () => {
  const owner = createIdentity()
  const stranger = createIdentity()
  const peer = await startPeer({ trains: false })
  const { document } = signRun(owner, await specificationFor(peer, [peer], { minimumTrainers: 1 }))
  const run = openRun(document)
  const beacon = (control: Uint8Array | null): Uint8Array =>
    encode({
      v: 1,
      peer: stranger.peerId.toString(),
      run: run.cid,
      document,
      round: 0,
      value: run.cid,
      control,
    })
  const judge = (control: Uint8Array | null): string => {
    const verdict = judgeBeacon(beacon(control), stranger.peerId)
    return verdict.verdict === 'accept' ? 'accept' : verdict.code
  }
  const word = { run: run.id, sequence: 1, action: 'cancel', last: 0 } as const
  assert.is(judge(null), 'accept')
  assert.is(judge(signControl(owner, word).document), 'accept')
  assert.is(judge(signControl(stranger, word).document), 'not_owner')
  assert.is(
    judge(signControl(owner, { ...word, run: peer.federation.runs()[0]?.id ?? `${cidOf(encode(1))}` }).document),
    'wrong_run',
  )
  assert.is(judge(new Uint8Array([1, 2, 3])), 'malformed')
})

test(
  'a pause lets the round under way end; late and restarted peers hold to it; it goes on when the owner says so',
  async () => {
    const peers = await three()
    const [owner, second, third] = peers
    const id = await owner.federation.createRun(await specificationFor(owner, peers, { rounds: 200 }))
    await until(() => certified(owner) >= 2)
    assert.is(await codeOf(second.federation.controlRun(id, 'pause')), 'not_owner')
    assert.is(await codeOf(owner.federation.controlRun(id, 'resume')), 'not_paused')
    assert.is(await codeOf(owner.federation.controlRun(`${id}x`, 'pause')), 'unknown_run')
    await owner.federation.controlRun(id, 'pause')
    const last = owner.federation.runs()[0]?.control?.last ?? 0
    await until(() => peers.every((peer) => statusOf(peer) === 'paused'))
    assert.is(certified(owner), last, 'the round under way has ended, and no other')
    assert.equal(
      eventsOf(third, 'run-controlled').map(({ action, last: bound }) => [action, bound]),
      [['pause', last]],
    )

    const started = eventsOf(second, 'round-started').length
    const late = await startPeer()
    await connectAll([...peers, late])
    await until(() => statusOf(late) === 'paused' && certified(late) === last)
    assert.is(eventsOf(late, 'round-started').filter(({ round }) => round > last).length, 0)
    await third.stop()
    const again = await startPeer({ dataDir: third.dataDir, identity: third.identity })
    assert.is(statusOf(again), 'paused', 'before it has met anybody')
    await connectAll([owner, second, late, again])
    assert.is(eventsOf(second, 'round-started').length, started)

    await owner.federation.controlRun(id, 'resume')
    await until(() => [owner, second, again].every((peer) => certified(peer) >= last + 2))
    await owner.federation.controlRun(id, 'cancel')
    await until(() => [owner, second, again, late].every((peer) => statusOf(peer) === 'cancelled'))
  },
  { timeoutMs: 60_000 },
)

test('an owner finishes a run early: the round under way is the last one', async () => {
  const peers = await three()
  const [owner, second] = peers
  const id = await owner.federation.createRun(await specificationFor(owner, peers, { rounds: 200 }))
  await until(() => certified(owner) >= 1)
  await owner.federation.controlRun(id, 'finish')
  const last = owner.federation.runs()[0]?.control?.last ?? 0
  assert.is(await codeOf(owner.federation.controlRun(id, 'resume')), 'run_over')
  await until(() => peers.every((peer) => statusOf(peer) === 'finished'))
  assert.equal(peers.map(certified), [last, last, last])
  await until(() => peers.every((peer) => peer.federation.checkpoints()[0]?.round === last))
  assert.is(eventsOf(second, 'run-finished').length, 1)
  assert.is(await codeOf(owner.federation.controlRun(id, 'pause')), 'run_over')
})

test('a cancelled run certifies nothing more, also where training was under way', async () => {
  const peers = await three(30_000)
  const [owner] = peers
  const id = await owner.federation.createRun(await specificationFor(owner, peers))
  await until(() => peers.every((peer) => eventsOf(peer, 'round-started').length === 1))
  await owner.federation.controlRun(id, 'cancel')
  await until(() => peers.every((peer) => statusOf(peer) === 'cancelled'))
  assert.equal(peers.map(certified), [0, 0, 0])
  const [, second] = peers
  await second.stop()
  const again = await startPeer({ dataDir: second.dataDir, identity: second.identity })
  assert.is(statusOf(again), 'cancelled')
  assert.is(eventsOf(again, 'round-started').length, 0)
})

test(
  'a peer takes part in a run when its operator says so, and leaves it again',
  async () => {
    const owner = await startPeer()
    const other = await startPeer({ owners: [] })
    await connectAll([owner, other])
    const id = await owner.federation.createRun(
      await specificationFor(owner, [owner], { rounds: 200, minimumTrainers: 1, committeeSize: 1 }),
    )
    await until(() => statusOf(other) !== undefined)
    assert.is(eventsOf(other, 'run-joined').length, 0, 'a stranger owns it')
    assert.is(await codeOf(other.federation.takePart(`${id}x`, true)), 'unknown_run')
    await other.federation.takePart(id, true)
    await until(() => owner.federation.runs()[0]?.rounds.at(-1)?.trainers.includes(other.name) === true)
    await other.federation.takePart(id, false)
    await until(() => owner.federation.runs()[0]?.roster.includes(other.name) === false)
    await other.stop()
    const again = await startPeer({ dataDir: other.dataDir, identity: other.identity })
    assert.is(eventsOf(again, 'run-joined').length, 0, 'it is remembered')
    const watcher = await startPeer({ trains: false })
    await connectAll([owner, watcher])
    await until(() => statusOf(watcher) !== undefined)
    assert.is(await codeOf(watcher.federation.takePart(id, true)), 'no_training_data')
  },
  { timeoutMs: 40_000 },
)

test('a word survives decoding', () => {
  const identity = createIdentity()
  const run = cidOf(encode(['run'])).toString()
  const word = signControl(identity, { run, sequence: 12, action: 'finish', last: 4 })
  assert.equal(openControl(word.document), word)
  assert.is(word.owner, identity.peerId.toString())
})

test.run()
