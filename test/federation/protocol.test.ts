import * as assert from 'uvu/assert'
import { type Head, headOf, verifyCertificate } from '../../src/federation/certificate.ts'
import { decodeManifest, encodeManifest, weightsFromBytes, weightsToBytes } from '../../src/federation/checkpoint.ts'
import { type CodecPlan, createCodec } from '../../src/federation/codecs/codec.ts'
import { electCommittee, type Faults, quorumOf, roundSeed } from '../../src/federation/committee.ts'
import { checkControl, openControl } from '../../src/federation/control.ts'
import type { RunPlans } from '../../src/federation/plans.ts'
import { maxMissedRounds, nextRoster } from '../../src/federation/roster.ts'
import { createRoundRule } from '../../src/federation/round-rule.ts'
import { openRun } from '../../src/federation/specification.ts'
import {
  openAbandon,
  openEvaluation,
  openJoin,
  openNotice,
  openProgress,
  openVote,
} from '../../src/federation/statements.ts'
import { decodeUpdate } from '../../src/federation/update-block.ts'
import { cidOf, codecs, errorCode, toHex } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import { claimVectors, type Vector, vectorBytes } from '../vectors.ts'

const test = suite('protocol of rounds')

type Outcome = Readonly<Record<string, unknown>>

/** What a vector's bytes come to: the fields that the file states. */
const outcomes: Readonly<Record<string, (vector: Vector) => Outcome | Promise<Outcome>>> = {
  run: (vector) => {
    const { id, owner } = openRun(vectorBytes(vector, 'document'))
    return { id, owner }
  },
  update: (vector) => {
    const { codec: plan, length, clipNorm } = vector.content as { codec: CodecPlan; length: number; clipNorm: number }
    const units = new Int32Array(length)
    decodeUpdate(vectorBytes(vector, 'block'), { codec: createCodec(plan), length, clipNorm }).read(0, units)
    return { units: [...units] }
  },
  result: async (vector) => {
    const rule = createRoundRule(vector.content['plans'] as RunPlans)
    const old = weightsFromBytes(vectorBytes(vector, 'old'))
    const { length } = old
    const carried =
      vector.content['carriedBefore'] === null
        ? rule.initialCarried(length)
        : rule.unpackCarried(vectorBytes(vector, 'carriedBefore'), length)
    const updates = (vector.content['updates'] as { samples: number; block: string }[]).map(({ samples, block }) => ({
      samples,
      values: rule.codec.reader(new Uint8Array(Buffer.from(block, 'hex')), length),
    }))
    const next = await rule.next(old, carried, updates)
    if (next.step !== null) assert.equal(rule.follow(old, next.step), next.weights)
    const bytes = rule.packCarried(next.carried)
    return {
      weights: toHex(weightsToBytes(next.weights)),
      step: next.step && toHex(next.step),
      carried: bytes && toHex(bytes),
    }
  },
  election: (vector) => ({
    cases: (vector.content['cases'] as Election[]).map((given) => {
      const seed = roundSeed(given.run, given.round, given.previous, given.attempt)
      const committee = electCommittee(seed, given.roster, given.size)
      return { ...given, seed: toHex(seed), committee, quorum: quorumOf(given.faults, committee.length) }
    }),
  }),
  certificate: (vector) => {
    const run = openRun(vectorBytes(vector, 'run'))
    const { value } = verifyCertificate(run, vector.content['previous'] as Head, vectorBytes(vector, 'certificate'))
    return { id: value.id, next: headOf(value) }
  },
  notice: (vector) => statement(openNotice(vectorBytes(vector, 'document'))),
  vote: (vector) => statement(openVote(vectorBytes(vector, 'document'))),
  join: (vector) => statement(openJoin(vectorBytes(vector, 'document'))),
  abandon: (vector) => statement(openAbandon(vectorBytes(vector, 'document'))),
  evaluation: (vector) => statement(openEvaluation(vectorBytes(vector, 'document'))),
  control: (vector) => {
    const control = openControl(vectorBytes(vector, 'document'))
    checkControl(openRun(vectorBytes(vector, 'run')), control)
    return statement(control)
  },
  progress: (vector) => statement(openProgress(vectorBytes(vector, 'document'))),
  checkpoint: (vector) => {
    const bytes = vectorBytes(vector, 'manifest')
    const manifest = decodeManifest(bytes)
    assert.equal(encodeManifest(manifest), bytes)
    return {
      id: cidOf(bytes, codecs.raw).toString(),
      fields: { ...manifest, sha256: toHex(manifest.sha256) },
    }
  },
}
interface Election {
  readonly run: string
  readonly round: number
  readonly previous: string
  readonly attempt: number
  readonly roster: readonly string[]
  readonly size: number
  readonly faults: Faults
}
function statement<T extends { document: Uint8Array }>({ document: _, ...fields }: T) {
  return { fields }
}

for (const vector of claimVectors('rounds')) {
  test(`vector ${vector.valid ? 'valid' : 'invalid'}/${vector.name}`, async () => {
    const outcome = outcomes[String(vector.content['kind'])]
    if (outcome === undefined) throw new Error(`no code for vectors of kind ${vector.content['kind']}`)
    if (vector.valid) {
      const result = await outcome(vector)
      for (const [field, value] of Object.entries(result)) assert.equal(value, vector.content[field], field)
      return
    }
    let code = 'none'
    try {
      await outcome(vector)
    } catch (error) {
      code = errorCode(error)
    }
    assert.is(code, vector.content['code'])
  })
}

test('the roster loses who misses two rounds in a row, gains who joins, and never gets too small', () => {
  const rule = { minimumTrainers: 2, faults: 'crash', committeeSize: 4 } as const
  const places = ['a', 'b', 'c'].map((peer) => ({ peer, missed: 0 }))
  const once = nextRoster(rule, places, new Set(['a', 'b']), [])
  assert.equal(once.at(-1), { peer: 'c', missed: 1 })
  assert.equal(
    nextRoster(rule, once, new Set(['a', 'b']), []).map((place) => place.peer),
    ['a', 'b'],
  )
  assert.equal(nextRoster(rule, once, new Set(['a', 'b', 'c']), []).at(-1), { peer: 'c', missed: 0 })
  assert.equal(
    nextRoster(rule, once, new Set(['a', 'b']), ['d', 'a', 'c']).map((place) => place.peer),
    ['a', 'b', 'c', 'd'],
  )
  // Nobody goes when too few would stay.
  const alone = nextRoster(
    rule,
    [{ peer: 'a', missed: 0 }, ...['b', 'c'].map((peer) => ({ peer, missed: 1 }))],
    new Set('a'),
    [],
  )
  assert.equal(
    alone.map((place) => place.missed),
    [0, maxMissedRounds, maxMissedRounds],
  )
  const liars = { ...rule, faults: 'byzantine', committeeSize: 3 } as const
  assert.is(nextRoster(liars, once, new Set(['a', 'b']), []).length, 3)
})

test('two quorums share a member that does not lie', () => {
  for (const faults of ['crash', 'byzantine'] as const) {
    for (let members = 1; members <= 31; members++) {
      const liars = faults === 'byzantine' ? Math.floor((members - 1) / 3) : 0
      const quorum = quorumOf(faults, members)
      assert.ok(2 * quorum - members > liars)
      assert.ok(quorum <= members - liars, 'the others alone are a quorum')
    }
  }
  assert.equal(
    [3, 4, 7].map((members) => quorumOf('byzantine', members)),
    [2, 3, 5],
  )
  assert.equal(
    [1, 2, 3, 4, 5].map((members) => quorumOf('crash', members)),
    [1, 2, 2, 3, 3],
  )
})

test.run()
