import { CID } from 'multiformats/cid'
import { z } from 'zod'
import type { ContentStore } from '../content/index.ts'
import {
  aggregationPlans,
  type CodecPlan,
  defaultPlans,
  type Federation,
  type RunSpecification,
} from '../federation/index.ts'
import { OwmError } from '../lib/index.ts'
import type { Manifests } from '../manifests/index.ts'
import type { Network } from '../network/index.ts'
import { type ExampleShape, type OfferedData, outerPlans } from '../training/index.ts'
import { heldOutTextFor, learningOf, modelSchema, startOf } from './run-start.ts'

/** Members of a committee: four bear one liar (n = 3f + 1). */
const committeeSize = 4
const maxRounds = 100_000

const bits = z.literal([1, 2, 4, 8, 16])

export const newRunSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'lower-case letters, digits and dashes, beginning with a letter'),
  rounds: z.int().min(1).max(maxRounds),
  /** Local training of a round: so long, and at most so many steps, or passes over a peer's data. */
  localMs: z.int().min(100).max(3_600_000),
  localSteps: z.int().min(1).max(1_000_000).optional(),
  localEpochs: z.number().gt(0).max(1_000).optional(),
  /** A public text on this machine, or a file or folder of examples; made of what is kept from training when absent. */
  heldOutFile: z.string().optional(),
  heldOutShare: z.int().min(0).max(128).optional(),
  /** Peer ids of the first round; by default all live peers that can train. */
  roster: z.array(z.string()).min(1).max(1024).optional(),
  faults: z.enum(['crash', 'byzantine']).default('crash'),
  /** Of each number of an update that is sent. */
  updateBits: bits.default(8),
  /** The share of an update's numbers that is sent, the largest first; all of them when absent. */
  updateShare: z.number().min(1e-6).max(1).optional(),
  /** Of each number of a step of the model; null: whole models travel. */
  resultBits: bits.nullable().optional(),
  aggregation: z.enum(Object.keys(aggregationPlans) as (keyof typeof aggregationPlans)[]).optional(),
  outer: z.enum(Object.keys(outerPlans) as (keyof typeof outerPlans)[]).optional(),
  clipNorm: z.number().positive().max(1e6).default(100),
  minimumTrainers: z.int().min(1).max(1024).default(1),
  /** By default four, or as many as train in the first round. */
  committeeSize: z.int().min(1).max(31).optional(),
  /** Its kind, and what differs from the defaults of that. */
  model: modelSchema.default({ kind: 'bytes' }),
  /** What differs from the optimizer that is usual for the model. */
  optimizer: z.record(z.string().max(64), z.unknown()).default({}),
  batch: z.int().min(1).max(65_536).optional(),
  /** A run whose newest checkpoint this one starts from, with its model and, if no other is given, its held-out text. */
  continueFrom: z.string().max(128).optional(),
  /** Any other field of the specification, as it stands there; it is judged with the rest. */
  plan: z.record(z.string().max(64), z.unknown()).default({}),
})
export type NewRun = z.infer<typeof newRunSchema>

/** Makes or takes over the model's graph, its initial weights and the held-out text, stores them, and starts the run in this peer's name. */
export async function createNewRun(
  request: NewRun,
  {
    content,
    federation,
    manifests,
    network,
  }: {
    readonly content: ContentStore
    readonly federation: Federation
    readonly manifests: Manifests
    readonly network: Network
  },
  data: OfferedData | null,
  nowMs: number,
  signal: AbortSignal,
): Promise<{ readonly run: string }> {
  const start = await (request.continueFrom === undefined
    ? freshStart(request, content, data, nowMs, signal)
    : continuedStart(request, request.continueFrom, content, federation, data, signal))
  const roster = request.roster ?? rosterOf(manifests, network, data !== null)
  if (roster.length === 0) {
    throw new OwmError('bad_run', 'No peer of this mesh has data to train on: set [training] data on at least one.')
  }
  const run = await federation.createRun({
    name: request.name,
    ...start,
    ...learningOf(request.model.kind, request.optimizer),
    ...(request.batch === undefined ? {} : { batch: request.batch }),
    ...(request.localSteps === undefined ? {} : { localSteps: request.localSteps }),
    ...(request.localEpochs === undefined ? {} : { localEpochs: request.localEpochs }),
    localMs: request.localMs,
    rounds: request.rounds,
    roster,
    minimumTrainers: request.minimumTrainers,
    committeeSize: request.committeeSize ?? Math.min(committeeSize, roster.length),
    faults: request.faults,
    compression: compressionFor(request, roster),
    aggregation: request.aggregation === undefined ? defaultPlans.aggregation : aggregationPlans[request.aggregation],
    outer: request.outer === undefined ? defaultPlans.outer : outerPlans[request.outer],
    privacy: defaultPlans.privacy,
    clipNorm: request.clipNorm,
    createdMs: nowMs,
    ...request.plan,
  } as RunSpecification)
  return { run }
}

/** Where all are in the committee, all compute the model themselves: there is no step to be sent. */
function compressionFor(
  { updateBits, updateShare, resultBits }: NewRun,
  roster: readonly string[],
): RunSpecification['compression'] {
  const quantise = (of: typeof updateBits): CodecPlan & { kind: 'quantise' } => ({ kind: 'quantise', bits: of })
  const values = quantise(updateBits)
  const steps = resultBits === undefined ? (roster.length > committeeSize ? 8 : null) : resultBits
  return {
    updates: updateShare === undefined ? values : { kind: 'topk', share: updateShare, values },
    results: steps === null ? null : quantise(steps),
  }
}

/** What a new run's specification says of its beginning. */
type Start = ExampleShape & Pick<RunSpecification, 'graph' | 'initial' | 'heldOut' | 'heldOutShare'>

async function freshStart(
  request: NewRun,
  content: Pick<ContentStore, 'put'>,
  data: OfferedData | null,
  nowMs: number,
  signal: AbortSignal,
): Promise<Start> {
  const { fields, classes, ...made } = await startOf(request.model, request, data, seedOf(nowMs), signal)
  const { buffer, byteOffset, byteLength } = made.initial
  const [graph, initial, heldOut] = await Promise.all(
    [made.graph, new Uint8Array(buffer, byteOffset, byteLength), made.heldOut].map((bytes) =>
      content.put(bytes, { signal }),
    ),
  )
  return {
    fields,
    ...(classes === undefined ? {} : { classes }),
    graph: graph as CID,
    initial: initial as CID,
    heldOut: heldOut as CID,
    heldOutShare: made.heldOutShare,
  }
}

/** From the newest checkpoint of another run, with its model and what that run is measured on. */
async function continuedStart(
  request: NewRun,
  run: string,
  content: Pick<ContentStore, 'put'>,
  federation: Pick<Federation, 'runs' | 'checkpointOf'>,
  data: OfferedData | null,
  signal: AbortSignal,
): Promise<Start> {
  const checkpoint = federation.checkpointOf(run)
  const specification = federation.runs().find(({ id }) => id === run)?.specification
  if (checkpoint === null || specification === undefined) {
    throw new OwmError('no_checkpoint', `This peer has no whole checkpoint of ${run} yet; ask again in a moment.`)
  }
  const { graph, weights: initial, fields, classes } = checkpoint
  const shape = { fields, ...(classes === undefined ? {} : { classes }) }
  if (request.heldOutFile === undefined) {
    const { heldOut, heldOutShare } = specification
    const share = request.heldOutShare ?? Number(heldOutShare)
    return { ...shape, graph, initial, heldOut: CID.parse(String(heldOut)), heldOutShare: share }
  }
  const { heldOut, heldOutShare } = await heldOutTextFor(request, data)
  return { ...shape, graph, initial, heldOut: await content.put(heldOut, { signal }), heldOutShare }
}

function rosterOf(manifests: Manifests, network: Network, selfTrains: boolean): string[] {
  const self = network.self.toString()
  const trainers = manifests
    .view()
    .filter((manifest) => manifest.capabilities.some((capability) => capability.name === 'fl_round'))
    .map((manifest) => manifest.peer.toString())
  return [...new Set(selfTrains ? [self, ...trainers] : trainers.filter((peer) => peer !== self))]
}

/** Different runs start from different weights; the weights themselves are what everybody verifies. */
function seedOf(nowMs: number): number {
  return nowMs % 0x7fff_ffff
}
