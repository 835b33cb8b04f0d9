import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { errorCode, errorMessage, OwmError } from '../lib/index.ts'
import { encodeModel } from '../onnx/index.ts'
import {
  defaultBatch,
  defaultModel,
  defaultOptimizer,
  describeData,
  type ExampleShape,
  gptGraph,
  heldOutText,
  initialParameters,
  type ModelChoice,
  type ModelDescription,
  modelFor,
  type OfferedData,
  type OptimizerPlan,
  transformerSizes,
} from '../training/index.ts'

/** Beyond that, measuring a checkpoint takes longer than training it. */
const maxHeldOutBytes = 256 * 1024
const defaultHeldOutBytes = 64 * 1024
/** Out of 256 files, so many are kept from training; more of them where there are few files. */
const heldOutShares = [12, 32, 64, 128]
/** Of examples, a tenth; none where there are others to measure on. */
const heldOutExamplesShare = 26
/** Tokens that an LSTM or a GPT without tables sees at once. */
const defaultContext = 128

const size = z.int().min(1).max(65_536)
/** `bytes` is a GPT with tables of hashed bytes, and the default: it learns text within seconds. */
export const modelSchema = z.union([
  z.looseObject({ kind: z.literal('bytes').default('bytes') }),
  z.strictObject({ kind: z.literal('mlp'), hidden: z.array(size).max(16).default([200, 200]) }),
  z.strictObject({
    kind: z.literal('cnn'),
    channels: z.array(size).min(1).max(8).default([32, 64]),
    hidden: size.default(512),
  }),
  z.strictObject({
    kind: z.literal('lstm'),
    width: size.default(64),
    hidden: size.default(256),
    layers: size.default(2),
    context: size.default(defaultContext),
  }),
  z.strictObject({
    kind: z.literal('gpt'),
    layers: size.default(transformerSizes.small.layers),
    heads: size.default(transformerSizes.small.heads),
    width: size.default(transformerSizes.small.width),
    context: size.default(defaultContext),
  }),
])
export type RunModel = z.infer<typeof modelSchema>

/** What of a run's specification follows from its model and the data, with the bytes that are named by CID. */
export interface RunStart extends ExampleShape {
  readonly graph: Uint8Array
  readonly initial: Float32Array
  readonly heldOut: Uint8Array
  readonly heldOutShare: number
}

export interface HeldOutWish {
  readonly heldOutFile?: string | undefined
  readonly heldOutShare?: number | undefined
}

/** @throws OwmError `bad_run`, `bad_model`, and what `describeData` throws */
export async function startOf(
  model: RunModel,
  wish: HeldOutWish,
  data: OfferedData | null,
  seed: number,
  signal: AbortSignal,
): Promise<RunStart> {
  if (model.kind === 'bytes') {
    const { kind: _, ...changes } = model
    const description = { ...defaultModel, ...changes } as ModelDescription
    const fields = windowsOf(description.context)
    const graph = gptGraph(description)
    return { fields, graph, initial: initialParameters(description, seed), ...(await heldOutTextFor(wish, data)) }
  }
  if (model.kind === 'lstm' || model.kind === 'gpt') {
    const { context, ...choice } = model
    const fields = windowsOf(context)
    return { fields, ...madeOf(choice, fields, seed), ...(await heldOutTextFor(wish, data)) }
  }
  if (data === null) {
    throw new OwmError(
      'bad_run',
      'This peer has no data of its own, which say what examples look like: set [training] data.',
    )
  }
  const { heldOutFile } = wish
  const heldOutShare = wish.heldOutShare ?? (heldOutFile === undefined ? heldOutExamplesShare : 0)
  const wanted = { heldOut: heldOutFile }
  const { fields, classes, heldOut, about } = await describeData({ ...data, heldOutShare }, wanted, signal)
  if (heldOut === null)
    throw new OwmError('bad_run', `${about} are text, which a model of kind ${model.kind} cannot learn.`)
  return { fields, classes, ...madeOf(model, fields, seed), heldOut, heldOutShare }
}

/** What is taken where nothing is said. */
export function learningOf(
  kind: RunModel['kind'],
  wished: Readonly<Record<string, unknown>>,
): { readonly optimizer: OptimizerPlan; readonly batch: number } {
  const images = kind === 'mlp' || kind === 'cnn'
  // McMahan et al. 2017, of whom both models are.
  const usual: OptimizerPlan = images ? { kind: 'sgd', learningRate: 0.1 } : defaultOptimizer
  const same = wished['kind'] === undefined || wished['kind'] === usual.kind
  // What is not one is refused with the rest of the specification.
  const optimizer = { ...(same ? usual : {}), ...wished } as OptimizerPlan
  return { optimizer, batch: images ? 10 : defaultBatch }
}

function windowsOf(context: number): RunStart['fields'] {
  return [{ name: 'windows', type: 'int32', shape: [context + 1], values: 256 }]
}

function madeOf(
  choice: Exclude<ModelChoice, { readonly kind: 'file' }>,
  fields: RunStart['fields'],
  seed: number,
): Pick<RunStart, 'graph' | 'initial'> {
  const { model, initial } = modelFor(choice, fields)
  return { graph: encodeModel(model), initial: initial(seed) }
}

/** A public text on this machine, or what is kept from training of the peer's own. */
export async function heldOutTextFor(
  { heldOutFile, heldOutShare: share }: HeldOutWish,
  data: OfferedData | null,
): Promise<Pick<RunStart, 'heldOut' | 'heldOutShare'>> {
  const shares = share === undefined ? heldOutShares : [share]
  if (heldOutFile !== undefined) {
    const bytes = await readFile(heldOutFile).catch((cause) => {
      throw new OwmError('bad_run', `The held-out text cannot be read: ${errorMessage(cause)}.`)
    })
    if (bytes.length === 0 || bytes.length > maxHeldOutBytes) {
      throw new OwmError('bad_run', `The held-out text has ${bytes.length} bytes; it takes 1 to ${maxHeldOutBytes}.`)
    }
    return { heldOut: new Uint8Array(bytes), heldOutShare: shares[0] ?? 0 }
  }
  if (data === null) {
    throw new OwmError('bad_run', 'This peer has no text of its own: give --held-out FILE, or set [training] data.')
  }
  for (const heldOutShare of shares) {
    const heldOut = await heldOutText({ ...data, heldOutShare }, defaultHeldOutBytes).catch((error) => {
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
