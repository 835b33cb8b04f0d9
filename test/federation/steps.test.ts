import { CID } from 'multiformats/cid'
import * as assert from 'uvu/assert'
import { type ContentStore, valueCid } from '../../src/content/index.ts'
import { decodeManifest } from '../../src/federation/checkpoint.ts'
import { aggregationPlans } from '../../src/federation/index.ts'
import { Results } from '../../src/federation/results.ts'
import { OwmError } from '../../src/lib/index.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { outerPlans } from '../../src/training/index.ts'
import { suite } from '../suite.ts'
import { type MadeRun, makeCertifiedRun } from './made-run.ts'

const test = suite('steps of a model')

const signal = new AbortController().signal

/** A peer of a made run with nothing of its own: what it asks others for is written down. */
function peerOf(made: MadeRun, gone: readonly string[] = []) {
  const own = new Map<string, Uint8Array>()
  const asked: string[] = []
  const content: ContentStore = {
    start: async () => undefined,
    stop: async () => undefined,
    cidOf: valueCid,
    put: async (bytes) => {
      own.set(valueCid(bytes).toString(), bytes)
      return valueCid(bytes)
    },
    get: async (cid) => {
      const name = cid.toString()
      const here = own.get(name)
      if (here !== undefined) return here
      const bytes = gone.includes(name) ? undefined : made.files.get(`values/${name}`)
      if (bytes === undefined) throw new OwmError('not_found', name)
      asked.push(name)
      own.set(name, bytes)
      return bytes
    },
    has: async (cid) => own.has(cid.toString()),
    remove: async () => undefined,
    stat: async () => ({ blocks: 0, bytes: 0 }),
  }
  const results = new Results(made.run, content, silentLogger, (round) => made.values[round - 1] ?? null)
  return { results, asked, own }
}

function manifestOf(made: MadeRun, round: number) {
  return decodeManifest(made.files.get(`values/${made.values[round - 1]!.checkpoint}`) as Uint8Array)
}

test('who has the weights before fetches the step alone, and has the same bits; then it can hand them out', async () => {
  const made = await makeCertifiedRun(3)
  const { results, asked, own } = peerOf(made)
  await results.weights(null, [], signal)
  for (const [at, value] of made.values.entries()) {
    asked.length = 0
    const weights = await results.weights(value, [], signal)
    const { weights: whole, step } = manifestOf(made, at + 1)
    assert.equal(asked, [value.checkpoint, step])
    assert.ok(made.files.get(`values/${step}`)!.length * 3 < weights.byteLength)
    await results.settled()
    assert.equal(own.get(whole), made.files.get(`values/${whole}`))
  }
})

test('a newcomer fetches whole weights, and what is carried when it has to compute', async () => {
  const made = await makeCertifiedRun(3, { outer: outerPlans.fedadam })
  const { results, asked } = peerOf(made)
  const before = made.values[1]!
  const weights = await results.weights(before, [], signal)
  const manifest = manifestOf(made, 2)
  assert.equal(asked, [before.checkpoint, manifest.weights])
  const checkpoint = await results.compute(made.heads[2]!, weights, made.values[2]!.updates, [], signal)
  assert.is(checkpoint, made.values[2]!.checkpoint)
  assert.ok(asked.includes(manifest.carried as string))
  const carried = made.files.get(`values/${manifest.carried}`)
  assert.is(carried?.byteLength, 3 * weights.byteLength)
})

test('what is carried and lost is computed again from the rounds before', async () => {
  const made = await makeCertifiedRun(3, { outer: outerPlans.diloco })
  const lost = [1, 2].map((round) => manifestOf(made, round).carried as string)
  const { results } = peerOf(made, lost)
  const weights = await results.weights(made.values[1]!, [], signal)
  const checkpoint = await results.compute(made.heads[2]!, weights, made.values[2]!.updates, [], signal)
  assert.is(checkpoint, made.values[2]!.checkpoint)
})

test('a step that is gone, or is not what the manifest says, is no way; whole weights are', async () => {
  const made = await makeCertifiedRun(2)
  const { step, weights } = manifestOf(made, 1)
  const without = peerOf(made, [step as string])
  await without.results.weights(null, [], signal)
  await without.results.weights(made.values[0]!, [], signal)
  assert.ok(without.asked.includes(weights))
  // A committee can certify any manifest: one whose step leads elsewhere is found out.
  const other = manifestOf(made, 2).step as string
  made.files.set(`values/${step}`, made.files.get(`values/${other}`) as Uint8Array)
  const lied = peerOf(made)
  await lied.results.weights(null, [], signal)
  await lied.results.weights(made.values[0]!, [], signal)
  assert.ok(lied.asked.includes(weights))
})

test('an outlier is in the certificate and not in the result, and it is said whose update that is', async () => {
  const plan = { ...aggregationPlans.mean, outliers: { measure: 'norm', sigmas: 3 } } as const
  const made = await makeCertifiedRun(1, { aggregation: plan }, { peers: 6, loud: 2 })
  const { results } = peerOf(made)
  const base = await results.weights(null, [], signal)
  const checkpoint = await results.compute(made.heads[0]!, base, made.values[0]!.updates, [], signal)
  assert.equal([...results.leftOut(checkpoint)], [[made.identities[2]!.peerId.toString(), 'outlier']])
  const parts = await results.partsOf(checkpoint)
  assert.equal(parts.map((cid) => CID.parse(cid).toString()).length, 3)
})

test.run()
