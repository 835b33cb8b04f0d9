/** What is in a source, for people: counted by opening both parts and reading examples. Blocking: for worker threads. */
import { statSync } from 'node:fs'
import { blake3Of, errorCode, errorMessage } from '../../lib/index.ts'
import { elementCount } from '../../onnx/index.ts'
import { measureNgram } from '../ngram.ts'
import { listClasses } from './class-folders.ts'
import type { DataPart, Field } from './dataset.ts'
import type { Watch } from './lines.ts'
import { type DataSource, type OpenDataset, openDataset } from './source.ts'

export interface Inspection {
  readonly source: DataSource
  /** Of its files, as they lie on the disk; of text, what is read of them. */
  readonly sizeBytes: number
  readonly fields: readonly Field[]
  readonly training: PartInspection
  /** Or why there is none. */
  readonly heldOut: PartInspection | string
  /** Examples that were there before, among those looked at; null for text, whose files are counted in `skipped`. */
  readonly duplicates: number | null
  /** Of them, those held out that are also learned from: a measure that flatters. */
  readonly leaked: number
  /** Bits per byte of the held-out text that counting predicts: what a model must beat. */
  readonly baselines?: { readonly unigram: number; readonly bigram: number; readonly trigram: number }
  readonly sample: Sample
}

export interface PartInspection {
  readonly about: string
  readonly examples: number
  /** How many were read to count; all, but of large sources the first. */
  readonly looked: number
  readonly fingerprint: string
  readonly textBytes?: number
  readonly classes?: readonly { readonly name: string; readonly count: number }[]
  readonly skipped: Readonly<Record<string, number>>
}

export type Sample =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'images'; readonly images: readonly SampleImage[] }
  | { readonly kind: 'numbers'; readonly values: readonly number[]; readonly target: string }

export interface SampleImage {
  readonly label: string
  readonly height: number
  readonly width: number
  /** 0 to 1, row by row; of colours, their mean. */
  readonly pixels: readonly number[]
}

export type InspectionStage = 'reading' | 'counting' | 'baselines'

/** Time is spent on no more than this. */
const maxLooked = 500_000
const maxLookedValues = 1 << 29
const maxBaselineBytes = 64 * 1024 * 1024
const maxBaselineHeldOutBytes = 4 * 1024 * 1024
const sampleTextBytes = 600
const sampleImages = 10
const sampleNumbers = 16
const watchEvery = 1024

/** @throws OwmError as `openDataset` */
export function inspect(
  source: DataSource,
  watch: (stage: InspectionStage, done: number, total: number) => void,
): Inspection {
  const reading: Watch = (done, total) => watch('reading', done, total)
  const training = openDataset(source, 'training', reading)
  const heldOut = openOr(source, reading)
  const seen = new Set<string>()
  const counting = (dataset: OpenDataset, part: DataPart) =>
    look(dataset, seen, (done, total) => watch('counting', done, total), part)
  const first = counting(training, 'training')
  const second = typeof heldOut === 'string' ? undefined : counting(heldOut, 'heldOut')
  const content = training.text?.content
  const measured = typeof heldOut === 'string' ? undefined : heldOut.text?.content
  if (content !== undefined && measured !== undefined) watch('baselines', 0, 1)
  const inspection: Inspection = {
    source,
    sizeBytes: sizeOf(source, training, heldOut),
    fields: training.fields,
    training: first.part,
    heldOut: second?.part ?? (heldOut as string),
    duplicates: training.text === undefined ? first.repeated + (second?.repeated ?? 0) : null,
    leaked: second?.leaked ?? 0,
    ...(content === undefined || measured === undefined ? {} : { baselines: baselines(content, measured) }),
    sample: sampleOf(training),
  }
  training.close()
  if (typeof heldOut !== 'string') heldOut.close()
  return inspection
}

function sizeOf(source: DataSource, training: OpenDataset, heldOut: OpenDataset | string): number {
  switch (source.kind) {
    case 'text':
      return (training.text?.bytes ?? 0) + (typeof heldOut === 'string' ? 0 : (heldOut.text?.bytes ?? 0))
    case 'idx':
      return bytesOf(
        [source, ...(source.heldOut === undefined ? [] : [source.heldOut])].flatMap((one) => [one.images, one.labels]),
      )
    case 'folder':
      return bytesOf(listClasses(source.root).files.map(({ path }) => path))
    default:
      return bytesOf([source.file])
  }
}

function bytesOf(files: readonly string[]): number {
  return files.reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0)
}

function openOr(source: DataSource, watch: Watch): OpenDataset | string {
  try {
    return openDataset(source, 'heldOut', watch)
  } catch (error) {
    if (errorCode(error) !== 'no_training_data') throw error
    return errorMessage(error)
  }
}

/** Reads examples for their labels and to find those that are alike. */
function look(dataset: OpenDataset, seen: Set<string>, watch: Watch, part: DataPart) {
  const { fields, length, text, classes } = dataset
  const sizes = fields.map(({ shape }) => elementCount(shape))
  const values = sizes.reduce((sum, size) => sum + size, 0)
  const looked = text === undefined ? Math.min(length, maxLooked, Math.ceil(maxLookedValues / values)) : 0
  const buffers = buffersFor(fields)
  const counts = classes?.map((name) => ({ name, count: 0 }))
  const own = new Set<string>()
  let repeated = 0
  let leaked = 0
  for (let index = 0; index < looked; index++) {
    dataset.read(index, buffers, 0)
    const inputs = buffers[0]!
    const key = Buffer.from(blake3Of(new Uint8Array(inputs.buffer)).subarray(0, 12)).toString('latin1')
    if (seen.has(key)) leaked++
    if (own.has(key)) repeated++
    own.add(key)
    if (counts !== undefined) counts[buffers[1]![0]!]!.count++
    if (index % watchEvery === 0) watch(index, looked)
  }
  if (part === 'training') for (const key of own) seen.add(key)
  const found: PartInspection = {
    about: dataset.about,
    examples: length,
    looked,
    fingerprint: dataset.fingerprint,
    ...(text === undefined ? {} : { textBytes: text.bytes }),
    ...(counts === undefined ? {} : { classes: counts }),
    skipped: dataset.skipped ?? {},
  }
  return { part: found, repeated, leaked }
}

function baselines(training: Uint8Array, heldOut: Uint8Array) {
  const texts = [training.subarray(0, maxBaselineBytes)]
  const measured = heldOut.subarray(0, maxBaselineHeldOutBytes)
  const bits = (order: 1 | 2 | 3): number => measureNgram(texts, measured, order, measured.length)
  return { unigram: bits(1), bigram: bits(2), trigram: bits(3) }
}

function sampleOf(dataset: OpenDataset): Sample {
  const { fields, text, length } = dataset
  const buffers = buffersFor(fields)
  const [inputs, targets] = buffers
  if (text !== undefined) {
    const bytes = text.content?.subarray(0, sampleTextBytes) ?? new Uint8Array(0)
    return { kind: 'text', text: Buffer.from(bytes).toString() }
  }
  const shape = fields[0]!.shape
  const [channels, height, width] = shape.length === 3 ? shape : []
  const label = (): string => dataset.classes?.[targets![0]!] ?? `${targets![0]}`
  if (channels === undefined || height === undefined || width === undefined) {
    dataset.read(0, buffers, 0)
    return { kind: 'numbers', values: [...inputs!.subarray(0, sampleNumbers)], target: label() }
  }
  const images: SampleImage[] = []
  const labels = new Set<string>()
  for (let index = 0; index < Math.min(length, maxLooked) && images.length < sampleImages; index++) {
    dataset.read(index, buffers, 0)
    if (labels.has(label())) {
      if (labels.size === dataset.classes?.length) break
      continue
    }
    labels.add(label())
    const size = height * width
    const mean = (pixel: number): number => {
      let sum = 0
      for (let channel = 0; channel < channels; channel++) sum += inputs![channel * size + pixel]!
      return sum / channels
    }
    images.push({ label: label(), height, width, pixels: Array.from({ length: size }, (_, pixel) => mean(pixel)) })
  }
  return { kind: 'images', images }
}

function buffersFor(fields: readonly Field[]): (Float32Array | Int32Array)[] {
  return fields.map(({ type, shape }) =>
    type === 'float32' ? new Float32Array(elementCount(shape)) : new Int32Array(elementCount(shape)),
  )
}
