import * as assert from 'uvu/assert'
import { agree, deriveKey, privateKeyOf } from '../../src/federation/privacy/agreement.ts'
import { type ContributionShape, sumShapeOf, unmaskSum } from '../../src/federation/privacy/contribution.ts'
import { isSecretOf, keysOf, masksOf, openShares, secretsOf } from '../../src/federation/privacy/dealing.ts'
import { decodeInput, encodeInput } from '../../src/federation/privacy/input-block.ts'
import { keystream } from '../../src/federation/privacy/keystream.ts'
import { applyMasks } from '../../src/federation/privacy/masking.ts'
import { deliveryTo } from '../../src/federation/privacy/messages.ts'
import { isOpening, openSecrets, revealObjection, unmaskingOf } from '../../src/federation/privacy/opening.ts'
import {
  type Directory,
  directoryObjection,
  directoryOf,
  type Session,
  type SessionConfig,
} from '../../src/federation/privacy/session.ts'
import { combineShares, weightsAtZero } from '../../src/federation/privacy/shamir.ts'
import {
  commitmentBytes,
  type Keys,
  openStatement,
  type Reveal,
  type Shares,
  type Statement,
  type StatementKind,
  sealedBytes,
} from '../../src/federation/privacy/statements.ts'
import type { SumShape } from '../../src/federation/privacy/sum-shape.ts'
import { errorCode, toHex } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import { claimVectors, type Vector, vectorBytes } from '../vectors.ts'

const test = suite('protocol of secure aggregation')

const bytesOf = (hex: unknown): Uint8Array => new Uint8Array(Buffer.from(String(hex), 'hex'))
const listOf = (vector: Vector, field: string): Uint8Array[] => (vector.content[field] as string[]).map(bytesOf)
const sessionOf = (vector: Vector): Session => vector.content['session'] as Session
const elementsOf = (vector: Vector, field: string): Uint32Array => Uint32Array.from(vector.content[field] as number[])

function refuse(code: string | null): void {
  if (code !== null) throw Object.assign(new Error(code), { code })
}
function directoryIn(vector: Vector): Directory {
  const keys = listOf(vector, 'directory').map((document): Keys => openStatement('keys', document))
  refuse(directoryObjection(vector.content['config'] as SessionConfig, keys))
  return directoryOf(sessionOf(vector), keys)
}
function sharesIn(vector: Vector): Map<number, Shares> {
  return new Map(
    listOf(vector, 'shares').map((document, i): [number, Shares] => [i, openStatement('shares', document)]),
  )
}
const statement = (vector: Vector): Readonly<Record<string, unknown>> => {
  const kind = String(vector.content['kind']) as StatementKind
  const { document: _, kind: __, ...fields }: Statement = openStatement(kind, vectorBytes(vector, 'document'))
  const plain = Object.entries(fields).map(([name, value]) => [
    name,
    value instanceof Uint8Array ? toHex(value) : value,
  ])
  return { fields: Object.fromEntries(plain) }
}

/** What a vector's bytes come to: the fields that the file states. */
const outcomes: Readonly<Record<string, (vector: Vector) => Readonly<Record<string, unknown>>>> = {
  keys: statement,
  shares: statement,
  input: statement,
  consent: statement,
  reveal: statement,
  keystream: (vector) => ({ words: [...keystream(vectorBytes(vector, 'key'), 8)] }),
  derivation: (vector) => ({
    derived: toHex(
      deriveKey(vectorBytes(vector, 'secret'), vectorBytes(vector, 'salt'), String(vector.content['purpose'])),
    ),
  }),
  agreement: (vector) => {
    const own = privateKeyOf(vectorBytes(vector, 'secret'))
    return {
      publicKey: toHex(own.publicKey),
      agreed: toHex(agree(own, vectorBytes(vector, 'other')) ?? new Uint8Array()),
    }
  },
  shamir: (vector) => {
    const points = vector.content['points'] as number[]
    return { secret: toHex(combineShares(listOf(vector, 'shares'), weightsAtZero(points))) }
  },
  secrets: (vector) => {
    const secrets = secretsOf(vectorBytes(vector, 'entropy'), sessionOf(vector))
    const { channel, mask, seed } = keysOf(secrets, sessionOf(vector)) as Keys
    return {
      maskSecret: toHex(secrets.maskSecret),
      ownSeed: toHex(secrets.seed),
      ...{ channel: toHex(channel), mask: toHex(mask), seed: toHex(seed) },
    }
  },
  directory: (vector) => ({ id: toHex(directoryIn(vector).id) }),
  delivery: (vector) => {
    const directory = directoryIn(vector)
    const to = Number(vector.content['to'])
    const secrets = secretsOf(vectorBytes(vector, 'entropy'), sessionOf(vector))
    const told = deliveryTo(to, directory.id, vectorBytes(vector, 'dealers'), sharesIn(vector))
    const opened = directory.keys.map((_, from) => {
      const sealed = told.sealed.subarray(from * sealedBytes, (from + 1) * sealedBytes)
      const pair = told.commitments.subarray(from * 2 * commitmentBytes, (from + 1) * 2 * commitmentBytes)
      const held = openShares(directory, from, to, secrets.channel, sealed, pair)
      return held === null ? null : toHex(held.seed) + toHex(held['mask-key'])
    })
    return { sealed: toHex(told.sealed), commitments: toHex(told.commitments), opened }
  },
  masking: (vector) => {
    const directory = directoryIn(vector)
    const secrets = secretsOf(vectorBytes(vector, 'entropy'), sessionOf(vector))
    const masks = masksOf(directory, Number(vector.content['place']), secrets, vectorBytes(vector, 'dealers'))
    const elements = elementsOf(vector, 'elements')
    applyMasks(elements, masks)
    return {
      add: masks.add.map(toHex),
      subtract: masks.subtract.map(toHex),
      block: toHex(encodeInput(elements, vector.content['shape'] as SumShape)),
    }
  },
  block: (vector) => {
    const shape = vector.content['shape'] as SumShape
    const elements = decodeInput(vectorBytes(vector, 'block'), shape)
    return { elements: [...elements], again: toHex(encodeInput(elements, shape)) }
  },
  opening: (vector) => {
    const directory = directoryIn(vector)
    const dealers = vectorBytes(vector, 'dealers')
    const survivors = vectorBytes(vector, 'survivors')
    const reveals = listOf(vector, 'reveals').map((document): Reveal => openStatement('reveal', document))
    for (const reveal of reveals) refuse(revealObjection(directory, dealers, survivors, reveal, sharesIn(vector)))
    const { threshold } = vector.content['config'] as SessionConfig
    const outcome = openSecrets(directory, dealers, survivors, threshold, reveals)
    if (outcome.kind === 'wrong-secret') refuse('wrong_secret')
    if (outcome.kind === 'waiting') refuse('too_few_shares')
    return { secrets: outcome.kind === 'opened' ? toHex(outcome.secrets) : '' }
  },
  sum: (vector) => {
    const directory = directoryIn(vector)
    const [dealers, survivors, secrets] = ['dealers', 'survivors', 'secrets'].map((field) => vectorBytes(vector, field))
    const opening = {
      dealers: dealers ?? new Uint8Array(),
      survivors: survivors ?? new Uint8Array(),
      secrets: secrets ?? new Uint8Array(),
    }
    if (!isOpening(directory, opening)) refuse('wrong_secret')
    const shape = vector.content['contribution'] as ContributionShape
    const inputs = listOf(vector, 'inputs').map((block) => decodeInput(block, sumShapeOf(shape)))
    const { codes, samples } = unmaskSum(inputs, unmaskingOf(directory, opening), shape)
    return { codes: [...codes], samples }
  },
}

for (const vector of claimVectors('secure-aggregation')) {
  test(`vector ${vector.valid ? 'valid' : 'invalid'}/${vector.name}`, () => {
    const outcome = outcomes[String(vector.content['kind'])]
    if (outcome === undefined) throw new Error(`no code for vectors of kind ${vector.content['kind']}`)
    if (vector.valid) {
      for (const [field, value] of Object.entries(outcome(vector))) assert.equal(value, vector.content[field], field)
      return
    }
    let code = 'none'
    try {
      outcome(vector)
    } catch (error) {
      code = errorCode(error)
    }
    assert.is(code, vector.content['code'])
  })
}

test('a secret of another peer, or of the other kind, is not the one', () => {
  const vector = claimVectors('secure-aggregation').find(({ name }) => name === 'secrets')
  if (vector === undefined) throw new Error('there is no vector "secrets"')
  const secrets = secretsOf(vectorBytes(vector, 'entropy'), sessionOf(vector))
  const keys = { ...keysOf(secrets, sessionOf(vector)), peer: '', document: new Uint8Array() } as Keys
  assert.ok(isSecretOf(keys, 'seed', secrets.seed))
  assert.ok(isSecretOf(keys, 'mask-key', secrets.maskSecret))
  assert.not.ok(isSecretOf(keys, 'seed', secrets.maskSecret))
  assert.not.ok(isSecretOf(keys, 'mask-key', secrets.seed))
})

test.run()
