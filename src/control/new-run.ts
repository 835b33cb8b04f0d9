import { readFile } from 'node:fs/promises'
import { CID } from 'multiformats/cid'
import { z } from 'zod'
import type { ContentStore } from '../content/index.ts'
import {
  aggregationPlans,
  type CheckpointView,
  type CodecPlan,
  defaultPlans,
  type Federation,
  type RunSpecification,
} from '../federation/index.ts'
import { errorCode, errorMessage, OwmError } from '../lib/index.ts'
import type { Manifests } from '../manifests/index.ts'
import type { Network } from '../network/index.ts'
import {
  defaultModel,
  defaultOptimizer,
  gptGraph,
  heldOutText,
  initialParameters,
  type ModelDescription,
  type OptimizerSpec,
  outerPlans,
  type TextSource,
} from '../training/index.ts'

/** Beyond that, measuring a checkpoint takes longer than training it. */
const maxHeldOutBytes = 256 * 1024
const defaultHeldOutBytes = 64 * 1024
/** Out of 256 files, so many are kept from training; more of them where there are few files. */
const heldOutShares = [12, 32, 64, 128]
/** Members of a committee: four bear one liar (n = 3f + 1). */
const committeeSize = 4
const maxRounds = 100_000

const bits = z.literal([1, 2, 4, 8, 16])
const settingSchema = z.union([z.number(), z.string().max(64), z.boolean()])

export const newRunSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'lower-case letters, digits and dashes, beginning with a letter'),
  rounds: z.int().min(1).max(maxRounds),
  /** Local training of a round: so long, and at most so many steps. */
  localMs: z.int().min(100).max(3_600_000),
  localSteps: z.int().min(1).max(1_000_000).default(100_000),
  /** A public text on this machine; made of the files kept from training when absent. */
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
  /** Fields of the model and of the optimizer that differ from the defaults. */
  model: z.record(z.string().max(64), settingSchema).default({}),
  optimizer: z.record(z.string().max(64), settingSchema).default({}),
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
  text: TextSource | null,
  nowMs: number,
  signal: AbortSignal,
): Promise<{ readonly run: string }> {
  const before = request.continueFrom === undefined ? null : beforeOf(federation, request.continueFrom)
  const start = before?.checkpoint ?? (await freshStart(request, content, nowMs, signal))
  const { heldOutCid, heldOutShare } = await heldOutIn(request, text, content, before, signal)
  const roster = request.roster ?? rosterOf(manifests, network, text !== null)
  if (roster.length === 0) {
    throw new OwmError('bad_run', 'No peer of this mesh has text to train on: set [training] data on at least one.')
  }
  const run = await federation.createRun({
    name: request.name,
    model: start.model,
    graph: start.graph,
    initial: start.weights,
    heldOut: heldOutCid,
    heldOutShare,
    // The training room judges what it does not know.
    optimizer: { ...defaultOptimizer, ...request.optimizer } as OptimizerSpec,
    localSteps: request.localSteps,
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

/** The newest checkpoint of a run that is gone on with, and what that run is measured on. */
interface Before {
  readonly checkpoint: CheckpointView
  readonly heldOut: CID
  readonly heldOutShare: number
}

function beforeOf(federation: Pick<Federation, 'runs' | 'checkpointOf'>, run: string): Before {
  const checkpoint = federation.checkpointOf(run)
  const specification = federation.runs().find(({ id }) => id === run)?.specification
  if (checkpoint === null || specification === undefined) {
    throw new OwmError('no_checkpoint', `This peer has no whole checkpoint of ${run} yet; ask again in a moment.`)
  }
  const { heldOut, heldOutShare } = specification
  return { checkpoint, heldOut: CID.parse(String(heldOut)), heldOutShare: Number(heldOutShare) }
}

async function freshStart(
  request: NewRun,
  content: Pick<ContentStore, 'put'>,
  nowMs: number,
  signal: AbortSignal,
): Promise<{ readonly model: ModelDescription; readonly graph: CID; readonly weights: CID }> {
  const model = { ...defaultModel, ...request.model } as ModelDescription
  const parameters = initialParameters(model, seedOf(nowMs))
  const bytes = new Uint8Array(parameters.buffer, parameters.byteOffset, parameters.byteLength)
  const [graph, weights] = await Promise.all([content.put(gptGraph(model), { signal }), content.put(bytes, { signal })])
  return { model, graph, weights }
}

async function heldOutIn(
  request: NewRun,
  text: TextSource | null,
  content: Pick<ContentStore, 'put'>,
  before: Before | null,
  signal: AbortSignal,
): Promise<{ readonly heldOutCid: CID; readonly heldOutShare: number }> {
  if (before !== null && request.heldOutFile === undefined) {
    return { heldOutCid: before.heldOut, heldOutShare: request.heldOutShare ?? before.heldOutShare }
  }
  const { heldOut, heldOutShare } = await heldOutFor(request, text)
  return { heldOutCid: await content.put(heldOut, { signal }), heldOutShare }
}

async function heldOutFor(
  request: NewRun,
  text: TextSource | null,
): Promise<{ readonly heldOut: Uint8Array; readonly heldOutShare: number }> {
  const shares = request.heldOutShare === undefined ? heldOutShares : [request.heldOutShare]
  if (request.heldOutFile !== undefined) {
    const bytes = await readFile(request.heldOutFile).catch((cause) => {
      throw new OwmError('bad_run', `The held-out text cannot be read: ${errorMessage(cause)}.`)
    })
    if (bytes.length === 0 || bytes.length > maxHeldOutBytes) {
      throw new OwmError('bad_run', `The held-out text has ${bytes.length} bytes; it takes 1 to ${maxHeldOutBytes}.`)
    }
    return { heldOut: new Uint8Array(bytes), heldOutShare: shares[0] ?? 0 }
  }
  if (text === null) {
    throw new OwmError('bad_run', 'This peer has no text of its own: give --held-out FILE, or set [training] data.')
  }
  for (const heldOutShare of shares) {
    const heldOut = await heldOutText({ ...text, heldOutShare }, defaultHeldOutBytes).catch((error) => {
      if (errorCode(error) !== 'no_training_data') throw error
      return undefined
    })
    if (heldOut !== undefined) return { heldOut, heldOutShare }
  }
  throw new OwmError(
    'bad_run',
    'There are too few files of text to keep one from training: add some, or give --held-out FILE.',
  )
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
