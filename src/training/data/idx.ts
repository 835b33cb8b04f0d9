/** Images and labels from pairs of IDX files. Held in memory, a byte for each pixel. */
import type { DataPart, Field } from './dataset.ts'
import { createFingerprint } from './fingerprint.ts'
import { readIdx } from './idx-file.ts'
import { malformed } from './malformed.ts'
import type { OpenDataset } from './source.ts'
import type { SourceOf } from './source-schema.ts'
import { isHeldOut, numbersOf } from './split.ts'
import { counted } from './wording.ts'

interface Pair {
  readonly images: Uint8Array
  readonly labels: Uint8Array
  readonly shape: readonly number[]
  readonly size: number
}

/** From 0 to 1, exactly what a division in float32 gives. */
const shades = Float32Array.from({ length: 256 }, (_, value) => value / 255)

/** `inputs`: float32 [height x width] or [channels, height, width]; `targets`: int32. */
export function openIdx(source: SourceOf<'idx'>, part: DataPart): OpenDataset {
  const main = readPair(source)
  const other = source.heldOut === undefined ? undefined : readPair(source.heldOut)
  if (other !== undefined && `${other.shape}` !== `${main.shape}`) {
    const problem = `images of ${other.shape.join('x')}, but of ${main.shape.join('x')} in ${source.images}.`
    throw malformed(source.heldOut?.images ?? '', 'its header', problem)
  }
  const { images, labels, size, shape } = part === 'heldOut' && other !== undefined ? other : main
  // Content decides, not the label: one image with two labels is on one side.
  const heldOut = (index: number): boolean =>
    isHeldOut(images.subarray(index * size, (index + 1) * size), source.heldOutShare)
  const about = `the ${counted(labels.length)} images of ${source.images}`
  const numbers =
    other === undefined
      ? numbersOf(part, labels.length, heldOut, about)
      : numbersOf('training', labels.length, no, about)
  const values = 1 + Math.max(highest(main.labels), other === undefined ? 0 : highest(other.labels))
  const fields: readonly Field[] = [
    { name: 'inputs', type: 'float32', shape: source.flat ? [size] : shape },
    { name: 'targets', type: 'int32', shape: [], values },
  ]
  const fingerprint = createFingerprint('idx')
  for (const one of [
    images,
    labels,
    `${fields[0]?.shape}`,
    part,
    other === undefined ? source.heldOutShare : 'files',
  ]) {
    fingerprint.add(one)
  }
  return {
    about: `${counted(numbers.length)} images of ${shape.slice(-2).join('x')} in ${values} classes`,
    fields,
    classes: Array.from({ length: values }, (_, label) => `${label}`),
    length: numbers.length,
    fingerprint: fingerprint.hex(),
    read: (index, [inputs, targets], row) => {
      const number = numbers[index]!
      const from = number * size
      const to = row * size
      for (let at = 0; at < size; at++) inputs![to + at] = shades[images[from + at]!]!
      targets![row] = labels[number]!
    },
    close: () => undefined,
  }
}

function readPair(files: { readonly images: string; readonly labels: string }): Pair {
  const images = readIdx(files.images)
  const labels = readIdx(files.labels)
  const [count, ...axes] = images.shape
  if (axes.length === 0) throw malformed(files.images, 'its header', 'it has one axis: these are labels, not images.')
  if (labels.shape.length !== 1) {
    throw malformed(files.labels, 'its header', `it has ${labels.shape.length} axes: these are images, not labels.`)
  }
  if (labels.shape[0] !== count) {
    throw malformed(files.labels, 'its header', `${labels.shape[0]} labels for the ${count} images of ${files.images}.`)
  }
  const shape = axes.length === 2 ? [1, ...axes] : axes
  return { images: images.values, labels: labels.values, shape, size: axes.reduce((a, b) => a * b, 1) }
}

function highest(labels: Uint8Array): number {
  return labels.reduce((most, label) => Math.max(most, label), 0)
}

const no = (): boolean => false
