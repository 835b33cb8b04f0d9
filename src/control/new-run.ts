import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import type { ContentStore } from '../content/index.ts'
import type { Federation } from '../federation/index.ts'
import { errorCode, errorMessage, OwmError } from '../lib/index.ts'
import type { Manifests } from '../manifests/index.ts'
import type { Network } from '../network/index.ts'
import {
  defaultModel,
  defaultOptimizer,
  gptGraph,
  heldOutText,
  initialParameters,
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
  quantisationBits: z.union([z.literal(4), z.literal(8)]).default(8),
  clipNorm: z.number().positive().max(1e6).default(100),
})
export type NewRun = z.infer<typeof newRunSchema>

/** Makes the model's graph, its initial weights and the held-out text, stores them, and starts the run in this peer's name. */
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
  const { heldOut, heldOutShare } = await heldOutFor(request, text)
  const model = defaultModel
  const parameters = initialParameters(model, seedOf(nowMs))
  const bytes = new Uint8Array(parameters.buffer, parameters.byteOffset, parameters.byteLength)
  const [graph, initial, heldOutCid] = await Promise.all([
    content.put(gptGraph(model), { signal }),
    content.put(bytes, { signal }),
    content.put(heldOut, { signal }),
  ])
  const roster = request.roster ?? rosterOf(manifests, network, text !== null)
  if (roster.length === 0) {
    throw new OwmError('bad_run', 'No peer of this mesh has text to train on: set [training] data on at least one.')
  }
  const run = await federation.createRun({
    name: request.name,
    model,
    graph,
    initial,
    heldOut: heldOutCid,
    heldOutShare,
    optimizer: defaultOptimizer,
    localSteps: request.localSteps,
    localMs: request.localMs,
    rounds: request.rounds,
    roster,
    minimumTrainers: 1,
    committeeSize: Math.min(committeeSize, roster.length),
    faults: request.faults,
    quantisationBits: request.quantisationBits,
    clipNorm: request.clipNorm,
    createdMs: nowMs,
  })
  return { run }
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
