import * as assert from 'uvu/assert'
import { aggregationPlans } from '../../src/federation/index.ts'
import type { OwmError } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import {
  certified,
  cleanUp,
  connectAll,
  eventsOf,
  type MeshPeer,
  specificationFor,
  startPeer,
  until,
  weightsLength,
} from './mesh.ts'

const test = suite('federation')
test.afterEach(cleanUp)

/** What every finished run must satisfy, whoever died. */
function checkRun(peers: readonly MeshPeer[], all: readonly MeshPeer[] = peers): void {
  const rounds = peers.map((peer) => peer.federation.runs()[0]?.rounds ?? [])
  for (const view of rounds) {
    assert.equal(
      view.map((round) => round.certificate),
      rounds[0]?.map((round) => round.certificate),
    )
  }
  for (const peer of all) {
    for (const { round, update } of eventsOf(peer, 'update-accepted')) {
      const found = rounds[0]?.[round - 1]?.updates.includes(update)
      assert.ok(found, `accepted update of round ${round} is not in its certificate`)
    }
  }
}

test('three peers train five rounds, agree, and measure that they learn', async () => {
  const peers = [await startPeer(), await startPeer(), await startPeer()]
  const [owner] = peers as [MeshPeer]
  await connectAll(peers)
  const id = await owner.federation.createRun(await specificationFor(owner, peers))
  await until(() => peers.every((peer) => peer.federation.runs()[0]?.status === 'finished'))
  checkRun(peers)
  await until(() => peers.every((peer) => peer.federation.runs()[0]?.rounds.at(-1)?.heldOutLoss != null))
  await until(() => peers.every((peer) => peer.federation.checkpoints()[0]?.round === 5))
  for (const peer of peers) {
    const run = peer.federation.runs()[0]
    if (run === undefined) throw new Error('no run')
    assert.is(run.id, id)
    assert.is(run.owner, owner.name)
    assert.is(run.round, 5)
    assert.is(run.parameters, weightsLength)
    assert.ok((run.initialLoss ?? 0) > 0.4)
    const losses = run.rounds.map((round) => round.heldOutLoss)
    assert.ok((losses[4] ?? 1) < 0.02, `losses ${losses}`)
    assert.ok((losses[4] ?? 1) < (losses[0] ?? 0))
    for (const round of run.rounds) {
      assert.is(round.trainers.length, 3)
      assert.ok(round.signatures >= 2)
    }
    const checkpoint = peer.federation.checkpoints()[0]
    if (checkpoint === undefined) throw new Error('no checkpoint')
    const weights = await peer.federation.weights(checkpoint)
    assert.is(weights.length, weightsLength)
    assert.is(checkpoint.checkpoint, run.rounds[4]?.checkpoint)
    const types = new Set(peer.events.map((event) => event.type))
    for (const type of [
      'run-joined',
      'round-started',
      'train-progress',
      'update-accepted',
      'round-certified',
    ] as const) {
      assert.ok(types.has(type), type)
    }
    assert.is(eventsOf(peer, 'run-finished').length, 1)
    const accepted = eventsOf(peer, 'update-accepted')
    assert.is(accepted.filter((event) => event.trainer === peer.name).length, 5)
    assert.ok(
      accepted.some((event) => event.trainer !== peer.name),
      'the others tell of theirs',
    )
  }
})

test('the leader dies while updates are collected: the next one carries on, and no accepted update is lost', async () => {
  let leaderOfThird = ''
  let release: () => void = () => undefined
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  const peers: MeshPeer[] = []
  for (let i = 0; i < 4; i++) {
    // In round 3 the leader of it is held back, so that it has to die with the others' updates in its hands.
    const peer: MeshPeer = await startPeer({
      onTrain: async (round) => {
        if (round === 600 && peer.name === leaderOfThird) await gate
      },
    })
    peer.federation.onEvent((event) => {
      if (event.type === 'round-started' && event.round === 3) leaderOfThird = event.leader
    })
    peers.push(peer)
  }
  const [owner] = peers as [MeshPeer]
  await connectAll(peers)
  await owner.federation.createRun(await specificationFor(owner, peers))
  await until(
    () =>
      peers.filter((p) => eventsOf(p, 'update-accepted').some((e) => e.round === 3 && e.trainer === p.name)).length ===
      3,
  )
  const leader = peers.find((peer) => peer.name === leaderOfThird)
  if (leader === undefined) throw new Error('no leader')
  await leader.stop()
  release()
  const rest = peers.filter((peer) => peer !== leader)
  await until(() => rest.every((peer) => peer.federation.runs()[0]?.status === 'finished'))
  checkRun(rest, peers)
  const third = rest[0]?.federation.runs()[0]?.rounds[2]
  assert.is.not(third?.leader, leader.name)
  assert.equal([...(third?.trainers ?? [])].sort(), rest.map((peer) => peer.name).sort())
  assert.ok(rest.some((peer) => eventsOf(peer, 'leader-passed-over').some((e) => e.leader === leader.name)))
  // Two rounds missed: it is off the roster.
  assert.not.ok(rest[0]?.federation.runs()[0]?.roster.includes(leader.name))
})

test('who trains has all that the run needs, the held-out text too: the only other peer that has it may die', async () => {
  const peers = [await startPeer(), await startPeer(), await startPeer()]
  const [owner] = peers as [MeshPeer]
  await connectAll(peers)
  const specification = await specificationFor(owner, peers)
  const had = peers.map(async (peer) => {
    await new Promise<void>((resolve) => {
      peer.federation.onEvent((event) => {
        if (event.type === 'train-progress' && event.trainer === peer.name) resolve()
      })
    })
    return peer.content.has(specification.heldOut)
  })
  await owner.federation.createRun(specification)
  assert.equal(await Promise.all(had), [true, true, true])
})

test("a stranger's run of a known name is neither trained in nor answered from", async () => {
  const careful = await startPeer({ owners: [] })
  const peers = [careful, await startPeer()] as const
  const [, stranger] = peers
  await connectAll(peers)
  const own = await careful.federation.createRun(await specificationFor(careful, [careful], { minimumTrainers: 1 }))
  await until(() => careful.federation.runs()[0]?.status === 'finished')
  const theirs = await stranger.federation.createRun(
    await specificationFor(stranger, [stranger], { minimumTrainers: 1 }),
  )
  await until(() => careful.federation.runs().find((run) => run.id === theirs)?.status === 'finished')
  assert.not.ok(eventsOf(careful, 'run-joined').some((event) => event.run === theirs))
  await until(() => careful.federation.checkpoints().length === 1)
  assert.is(careful.federation.checkpoints()[0]?.run, own)
  // Whoever trusts everybody answers from the newest.
  await until(() => stranger.federation.checkpoints()[0]?.run === theirs)
})

test('a late peer catches up, joins, and trains; one without data follows and can answer from the checkpoint', async () => {
  const peers = [await startPeer(), await startPeer(), await startPeer()]
  const [owner] = peers as [MeshPeer]
  await connectAll(peers)
  await owner.federation.createRun(await specificationFor(owner, peers, { rounds: 12 }))
  await until(() => certified(owner) >= 2)
  const [late, follower] = [await startPeer(), await startPeer({ trains: false })]
  await connectAll([owner, late, follower])
  const all = [...peers, late, follower]
  await until(() => all.every((peer) => peer.federation.runs()[0]?.status === 'finished'))
  checkRun(all)
  const trained = late.federation.runs()[0]?.rounds.filter((round) => round.trainers.includes(late.name)) ?? []
  assert.ok(trained.length > 0, 'the late peer trained in no round')
  assert.not.ok(late.federation.runs()[0]?.rounds.some((round) => round.trainers.includes(follower.name)))
  await until(() => follower.federation.checkpoints()[0]?.round === 12)
  const checkpoint = follower.federation.checkpoints()[0]
  if (checkpoint === undefined) throw new Error('no checkpoint')
  const weights = await follower.federation.weights(checkpoint)
  assert.ok(Math.abs((weights[1] ?? 0) - Math.sin(1)) < 0.1)
})

test('a mesh that is stopped whole goes on from disk, in the round where it was', async () => {
  let peers: MeshPeer[] = [await startPeer(), await startPeer(), await startPeer()]
  const [owner] = peers as [MeshPeer]
  await connectAll(peers)
  const id = await owner.federation.createRun(await specificationFor(owner, peers))
  await until(() => certified(owner) >= 2)
  const before = owner.federation.runs()[0]?.rounds.map((round) => round.certificate) ?? []
  await Promise.all(peers.map((peer) => peer.stop()))
  const old = peers
  peers = []
  for (const { identity, dataDir } of old) peers.push(await startPeer({ identity, dataDir }))
  await connectAll(peers)
  await until(() => peers.every((peer) => peer.federation.runs()[0]?.status === 'finished'))
  checkRun(peers, [...old, ...peers])
  const run = peers[0]?.federation.runs()[0]
  assert.is(run?.id, id)
  assert.equal(
    run?.rounds.slice(0, before.length).map((round) => round.certificate),
    before,
  )
})

test('a run that cannot be is refused with the field that is wrong', async () => {
  const peer = await startPeer()
  const specification = await specificationFor(peer, [peer], { minimumTrainers: 1 })
  const fieldOf = async (change: object): Promise<unknown> =>
    peer.federation.createRun({ ...specification, ...change }).then(
      () => null,
      (error: OwmError) => (error.code === 'bad_run' ? error.details['field'] : error),
    )
  assert.is(await fieldOf({ name: 'Capital' }), 'name')
  assert.is(await fieldOf({ rounds: 0 }), 'rounds')
  assert.is(await fieldOf({ minimumTrainers: 2 }), 'minimumTrainers')
  assert.is(await fieldOf({ faults: 'byzantine', committeeSize: 3 }), 'committeeSize')
  assert.is(await fieldOf({ faults: 'byzantine', committeeSize: 4 }), 'roster')
  assert.is(await fieldOf({ roster: ['nobody'] }), 'roster.0')
  assert.is(await fieldOf({ clipNorm: Number.NaN }), 'clipNorm')
  assert.is(await fieldOf({ graph: peer.content.cidOf(new Uint8Array(5)) }), 'graph')
  assert.is(await fieldOf({ initial: await peer.content.put(new Uint8Array(5)) }), 'initial')
  assert.equal(peer.federation.runs(), [])
})

test('an update that stands far apart is certified, left out of the result, and said to be refused', async () => {
  const peers: MeshPeer[] = []
  for (let i = 0; i < 6; i++) peers.push(await startPeer(i === 5 ? { loud: 1000 } : {}))
  const [owner, loud] = [peers[0], peers[5]] as [MeshPeer, MeshPeer]
  await connectAll(peers)
  const aggregation = { ...aggregationPlans.mean, outliers: { measure: 'norm', sigmas: 3 } } as const
  const change = { rounds: 2, aggregation, clipNorm: 1e6, minimumTrainers: 6 }
  await owner.federation.createRun(await specificationFor(owner, peers, change))
  await until(() => peers.every((peer) => peer.federation.runs()[0]?.status === 'finished'))
  checkRun(peers)
  await until(() => owner.federation.runs()[0]?.rounds.at(-1)?.heldOutLoss != null)
  assert.ok((owner.federation.runs()[0]?.rounds[1]?.heldOutLoss ?? 1) < 0.3)
  const told = peers.flatMap((peer) => eventsOf(peer, 'update-rejected'))
  assert.ok(told.length > 0)
  assert.ok(told.every(({ trainer, code }) => trainer === loud.name && code === 'outlier'))
  const audit = owner.federation.audit(owner.federation.runs()[0]?.id ?? '', { signal: AbortSignal.timeout(10_000) })
  for await (const found of audit) {
    if (found.kind !== 'round') continue
    assert.is(found.recomputed, 'same')
    const codes = found.peers.map(({ peer, counted, code }) => [peer === loud.name, counted, code].join())
    assert.equal(
      codes.filter((words) => words !== 'false,true,'),
      ['true,false,outlier'],
    )
  }
})

test('one peer alone is its own committee', async () => {
  const peer = await startPeer()
  await peer.federation.createRun(await specificationFor(peer, [peer], { minimumTrainers: 1, rounds: 3 }))
  await until(() => peer.federation.runs()[0]?.status === 'finished')
  checkRun([peer])
  assert.is(peer.federation.runs()[0]?.rounds[2]?.signatures, 1)
})

test.run()
