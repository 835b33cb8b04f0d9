import { type ContentStore, valueCid } from '../../src/content/index.ts'
import {
  composeValue,
  electionOf,
  firstHead,
  type Head,
  headOf,
  sealCertificate,
  type Value,
} from '../../src/federation/certificate.ts'
import { defaultPlans, type RunSpecification } from '../../src/federation/index.ts'
import { Results } from '../../src/federation/results.ts'
import { type Run, signRun } from '../../src/federation/specification.ts'
import { signNotice, signVote } from '../../src/federation/statements.ts'
import { createIdentity, type Identity } from '../../src/identity/index.ts'
import { OwmError } from '../../src/lib/index.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { defaultOptimizer } from '../../src/training/index.ts'

/** A certified run made by hand, without any network: what an export of it holds, by path. */
export interface MadeRun {
  readonly run: Run
  readonly owner: Identity
  readonly identities: readonly Identity[]
  readonly files: Map<string, Uint8Array>
  readonly heads: readonly Head[]
  readonly values: readonly Value[]
  readonly updateOf: (round: number, identity: Identity) => string
}

const length = 600

/** @param who how many train, and the one whose updates are twenty times as long */
export async function makeCertifiedRun(
  rounds: number,
  change: Partial<RunSpecification> = {},
  who: { readonly peers: number; readonly loud?: number } = { peers: 4 },
): Promise<MadeRun> {
  const identities = Array.from({ length: who.peers }, createIdentity)
  const owner = identities[0] as Identity
  const blocks = new Map<string, Uint8Array>()
  const content: ContentStore = {
    start: async () => undefined,
    stop: async () => undefined,
    cidOf: valueCid,
    put: async (bytes) => {
      blocks.set(valueCid(bytes).toString(), bytes)
      return valueCid(bytes)
    },
    get: async (cid) => {
      const bytes = blocks.get(cid.toString())
      if (bytes === undefined) throw new OwmError('not_found', `${cid}`)
      return bytes
    },
    has: async (cid) => blocks.has(cid.toString()),
    remove: async () => undefined,
    stat: async () => ({ blocks: 0, bytes: 0 }),
  }
  const run = signRun(owner, {
    name: 'made',
    fields: [{ name: 'windows', type: 'int32', shape: [65], values: 256 }],
    graph: await content.put(new TextEncoder().encode('no graph is needed')),
    initial: await content.put(new Uint8Array(length * 4)),
    heldOut: await content.put(new TextEncoder().encode('held out')),
    heldOutShare: 26,
    optimizer: defaultOptimizer,
    batch: 16,
    localSteps: 10,
    localMs: 1_000,
    rounds: 100,
    roster: identities.map((identity) => identity.peerId.toString()),
    minimumTrainers: 2,
    committeeSize: 3,
    faults: 'crash',
    ...defaultPlans,
    compression: { ...defaultPlans.compression, results: { kind: 'quantise', bits: 8 } },
    clipNorm: 100,
    createdMs: 1,
    ...change,
  })
  const results = new Results(run, content, silentLogger, () => null)
  const files = new Map<string, Uint8Array>([['specification.cbor', run.document]])
  const heads: Head[] = [firstHead(run)]
  const values: Value[] = []
  const updates = new Map<string, string>()
  for (let round = 1; round <= rounds; round++) {
    const head = heads.at(-1) as Head
    const base = await results.weights(values.at(-1) ?? null, [], AbortSignal.timeout(5000))
    const notices = await Promise.all(
      identities.map(async (identity, i) => {
        const delta = base.map((weight, at) => (i === who.loud ? 6 : 0.3) * (Math.sin(at + i) - weight))
        const { codec, clipNorm } = results.shapeOf(base)
        const { bytes } = codec.encode(delta, null, { maxNorm: clipNorm })
        const update = (await content.put(bytes)).toString()
        updates.set(`${round} ${identity.peerId}`, update)
        const fields = { run: run.id, round, attempt: 0, base: head.checkpoint, update, samples: 10 + i, steps: 10 }
        return signNotice(identity, { ...fields, bytes: bytes.byteLength })
      }),
    )
    const checkpoint = await results.compute(head, base, notices, [], AbortSignal.timeout(5000))
    const value = composeValue(run, head, 0, { updates: notices, joins: [], checkpoint })
    const { committee } = electionOf(run, head, 0)
    const votes = identities
      .filter((identity) => committee.includes(identity.peerId.toString()))
      .map((identity) =>
        signVote(identity, { run: run.id, round, attempt: 0, view: 0, phase: 'commit', value: value.id }),
      )
    files.set(`certificates/${String(round).padStart(6, '0')}.cbor`, sealCertificate(value, 0, votes).bytes)
    heads.push(headOf(value))
    values.push(value)
    results.nextRound()
  }
  for (const [cid, bytes] of blocks) files.set(`values/${cid}`, bytes)
  const updateOf = (round: number, identity: Identity): string => updates.get(`${round} ${identity.peerId}`) ?? ''
  return { run, owner, identities, files, heads, values, updateOf }
}
