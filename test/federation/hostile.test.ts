import type { Multiaddr } from '@multiformats/multiaddr'
import * as assert from 'uvu/assert'
import { checkQuorum, firstHead, verifyCertificate } from '../../src/federation/certificate.ts'
import { signRun } from '../../src/federation/specification.ts'
import { signVote } from '../../src/federation/statements.ts'
import { runsTopic } from '../../src/federation/wire.ts'
import { createIdentity, type Identity } from '../../src/identity/index.ts'
import { cidOf, codecs, encode, errorCode, sleep } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import { cleanUp, specificationFor, startLiar, startPeer } from './mesh.ts'

const test = suite('federation, lied to')
test.afterEach(cleanUp)

/** As the pattern of a peer id has it, and yet none: no base58 of a key. */
const noPeer = `12D3KooW${'z'.repeat(44)}`

/** Has the faults that nobody caught counted, which would end a peer. */
function faults(): { readonly seen: unknown[]; stop(): void } {
  const seen: unknown[] = []
  const note = (error: unknown): void => void seen.push(error)
  process.on('unhandledRejection', note).on('uncaughtException', note)
  return { seen, stop: () => void process.off('unhandledRejection', note).off('uncaughtException', note) }
}

test('a beacon that names no peer, or another than its author, does nothing', async () => {
  const peer = await startPeer({ trains: false })
  const liar = await startLiar()
  await liar.network.connect(peer.network.addresses()[0] as Multiaddr)
  const topic = liar.network.gossip({ ...runsTopic, validate: () => ({ verdict: 'accept', value: null }) })
  const beaconOf = async (name: string, from: string, round: number): Promise<Uint8Array> => {
    const run = signRun(liar.identity, await specificationFor(peer, [peer], { minimumTrainers: 1, name }))
    return encode({ v: 1, run: run.cid, document: run.document, round, value: run.cid, peer: from, control: null })
  }
  const { seen, stop } = faults()
  const names = (): string[] => peer.federation.runs().map((run) => run.name)
  for (let i = 0; !names().includes('honest'); i++) {
    // A stranger is heard once gossip has learnt of it; the same message is not passed on twice.
    const bad = [noPeer, peer.name, createIdentity().peerId.toString()]
    for (const [n, from] of bad.entries())
      await topic.publish(await beaconOf(`bad-${n}`, from, i)).catch(() => undefined)
    await topic.publish(await beaconOf('honest', liar.name, i)).catch(() => undefined)
    await sleep(50)
  }
  stop()
  assert.equal(seen, [])
  assert.equal(names(), ['honest'])
})

test('a certificate without a quorum is refused before anything in it is opened', async () => {
  const owner = createIdentity()
  const name = owner.peerId.toString()
  const cid = cidOf(new Uint8Array(1))
  const run = signRun(owner, {
    ...(await specificationFor({ content: { put: async () => cid } as never }, [{ name }], { minimumTrainers: 1 })),
  })
  const value = encode({
    v: 1,
    run: run.cid,
    round: 1,
    attempt: 0,
    previous: run.cid,
    updates: Array(1024).fill(new Uint8Array(100)),
    joins: [],
    checkpoint: cid,
    roster: [{ peer: name, missed: 0 }],
  })
  const id = cidOf(value, codecs.dagCbor).toString()
  const voteOf = (voter: Identity): Uint8Array =>
    signVote(voter, { run: run.id, round: 1, attempt: 0, view: 0, phase: 'commit', value: id }).document
  const certificate = (votes: Uint8Array[]): Uint8Array => encode({ v: 1, value, view: 0, votes })
  const codeWith = (votes: Uint8Array[]): string => {
    try {
      checkQuorum(run, firstHead(run), certificate(votes))
      return 'none'
    } catch (error) {
      return errorCode(error)
    }
  }
  assert.is(codeWith([voteOf(createIdentity())]), 'not_in_committee')
  assert.is(codeWith([voteOf(owner), voteOf(createIdentity())]), 'not_in_committee')
  assert.is(codeWith([voteOf(owner)]), 'none')
  assert.throws(() => verifyCertificate(run, firstHead(run), certificate([voteOf(owner)])))
})

test.run()
