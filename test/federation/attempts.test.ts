import * as assert from 'uvu/assert'
import { composeValue, electionOf, firstHead, headOf, sealCertificate } from '../../src/federation/certificate.ts'
import { Chain } from '../../src/federation/chain.ts'
import { openJournal } from '../../src/federation/journal.ts'
import { signRun } from '../../src/federation/specification.ts'
import { signAbandon, signNotice, signVote } from '../../src/federation/statements.ts'
import { createIdentity, type Identity } from '../../src/identity/index.ts'
import { cidOf, errorCode, toHex } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import {
  certified,
  cleanUp,
  connectAll,
  eventsOf,
  specificationFor,
  startPeer,
  temporaryFolder,
  until,
} from './mesh.ts'

const test = suite('federation, the next attempt')
test.afterEach(cleanUp)

test(
  'a run goes on, with the same updates, when the quorum of a committee dies for good',
  async () => {
    const peers = await Promise.all(Array.from({ length: 6 }, () => startPeer()))
    await connectAll(peers)
    const [owner] = peers as [(typeof peers)[0]]
    const specification = await specificationFor(owner, peers, { rounds: 5, committeeSize: 3, minimumTrainers: 2 })
    await owner.federation.createRun(specification)
    const deathRound = 3
    await until(() => eventsOf(owner, 'round-started').some(({ round }) => round === deathRound))
    const { committee } = eventsOf(owner, 'round-started').find(({ round }) => round === deathRound)!
    // Two of three: no quorum is left, and four of six are a quorum of the roster.
    const dead = peers.filter(({ name }) => name !== owner.name && committee.includes(name)).slice(0, 2)
    const alive = peers.filter((peer) => !dead.includes(peer))
    await Promise.all(dead.map((peer) => peer.stop()))
    await until(() => alive.every((peer) => certified(peer) === 5))
    const chains = alive.map((peer) => peer.federation.runs()[0]?.rounds.map((round) => round.certificate))
    for (const chain of chains) assert.equal(chain, chains[0])
    const rounds = owner.federation.runs()[0]?.rounds ?? []
    const later = rounds.filter((round) => round.attempt > 0)
    assert.ok(later.length > 0, 'the committee was quicker than its death')
    for (const { committee: members } of later) assert.not.equal(members, committee)
    const started = alive.flatMap((peer) => eventsOf(peer, 'attempt-started'))
    assert.ok(started.some(({ attempt }) => attempt > 0))
    // Nobody has trained twice for the round.
    for (const round of later) {
      for (const peer of alive) {
        const accepted = eventsOf(peer, 'update-accepted').filter(
          (e) => e.round === round.round && e.trainer === peer.name,
        )
        assert.is(new Set(accepted.map(({ update }) => update)).size <= 1, true)
      }
    }
  },
  { timeoutMs: 90_000 },
)

test('a chain goes over to the certificate of a lower attempt, also in its journal, and never back', async () => {
  const identities = Array.from({ length: 5 }, () => createIdentity())
  const by = new Map(identities.map((identity) => [identity.peerId.toString(), identity]))
  const cid = cidOf(new Uint8Array(1))
  const content = { put: async () => cid } as never
  const names = [...by.keys()].map((name) => ({ name }))
  const change = { minimumTrainers: 1, committeeSize: 3, rounds: 9 }
  const run = signRun(identities[0] as Identity, await specificationFor({ content }, names, change))
  const first = firstHead(run)
  const certify = (head: typeof first, attempt: number) => {
    const place = { run: run.id, round: head.round + 1 }
    const { committee, quorum, rosterQuorum } = electionOf(run, head, attempt)
    const notices = head.roster.map(({ peer }) =>
      signNotice(by.get(peer)!, {
        ...place,
        attempt: 0,
        base: head.checkpoint,
        update: cid.toString(),
        samples: 1,
        steps: 1,
        bytes: 1,
      }),
    )
    const checkpoint = cidOf(new TextEncoder().encode(`${head.id}/${attempt}`)).toString()
    const value = composeValue(run, head, attempt, { updates: notices, joins: [], checkpoint })
    const votes = committee
      .slice(0, quorum)
      .map((peer) => signVote(by.get(peer)!, { ...place, attempt, view: 0, phase: 'commit', value: value.id }))
    const gaveUp = attempt === 0 ? [] : head.roster.slice(0, rosterQuorum)
    const abandons = gaveUp.map(({ peer }) =>
      signAbandon(by.get(peer)!, { ...place, attempt: attempt - 1, previous: head.id }),
    )
    return sealCertificate(value, 0, votes, abandons)
  }
  const [low, high] = [certify(first, 0), certify(first, 1)]
  const onHigh = certify(headOf(high.value), 0)
  const folder = temporaryFolder()
  let journal = openJournal(folder)
  journal.addRun({ id: run.id, document: run.document })
  const chain = new Chain(run, journal)
  chain.add(high.bytes, 1, 0)
  chain.add(onHigh.bytes, 2, 1)
  journal.giveUp(run.id, 3, 0)
  journal.enterAttempt(run.id, 3, 1, high.abandons)
  assert.is(chain.switchTo(certify(headOf(low.value), 0).bytes, 3), null, 'it hangs on a round that is not here')
  const switched = chain.switchTo(low.bytes, 3)
  assert.equal(
    switched?.undone.map(({ certificate }) => certificate),
    [high.value.id, onHigh.value.id],
  )
  assert.is(chain.head.id, low.value.id)
  assert.is(chain.switchTo(high.bytes, 4), null)
  assert.is(journal.attempt(run.id, 3), null, 'what was begun on the other chain is forgotten')
  chain.add(certify(headOf(low.value), 0).bytes, 5, 4)
  journal.close()
  journal = openJournal(folder)
  const again = new Chain(run, journal)
  assert.is(again.head.id, chain.head.id)
  assert.is(again.idAt(1), low.value.id)
  // Votes alone do not make a later attempt.
  const forged = sealCertificate(high.value, 0, high.votes)
  const fresh = new Chain(run, { ...journal, certificates: () => [], evaluations: () => [] })
  let code = 'none'
  try {
    fresh.add(forged.bytes, 1, 0)
  } catch (error) {
    code = errorCode(error)
  }
  assert.is(code, 'not_abandoned')
  journal.close()
})

test('the attempt that a peer is in, and that it has given one up, survive its death', async () => {
  const folder = temporaryFolder()
  const identity = createIdentity()
  const [run, previous] = [cidOf(new Uint8Array(1)).toString(), cidOf(new Uint8Array(2)).toString()]
  const abandon = signAbandon(identity, { run, round: 4, attempt: 0, previous })
  let journal = openJournal(folder)
  const told = () => {
    const stored = journal.attempt(run, 4)
    return { ...stored, proof: stored?.proof.map(({ document }) => toHex(document)) }
  }
  assert.is(journal.attempt(run, 4), null)
  journal.giveUp(run, 4, 0)
  journal.close()
  journal = openJournal(folder)
  assert.equal(journal.attempt(run, 4), { attempt: 0, givenUp: true, proof: [] })
  journal.setRecord(run, 4, { view: 3, prepared: null, lock: null })
  journal.enterAttempt(run, 4, 1, [abandon])
  journal.close()
  journal = openJournal(folder)
  assert.equal(told(), { attempt: 1, givenUp: false, proof: [toHex(abandon.document)] })
  assert.is(journal.record(run, 4), null)
  journal.giveUp(run, 4, 1)
  assert.equal(told(), { attempt: 1, givenUp: true, proof: [toHex(abandon.document)] })
  assert.is(journal.attempt(run, 5), null)
  journal.close()
})

test.run()
