/** Images and labels from pairs of IDX files. Held in memory, a byte for each pixel. */
import type { DataPart, Field } from './dataset.ts'
import { createFingerprint } from './fingerprint.ts'
import { readIdx, readIdxShape } from './idx-file.ts'
import { malformed } from './malformed.ts'
import type { OpenDataset } from './source.ts'
import type { SourceOf } from './source-schema.ts'
import { isHeldOut, numbersOf } from './split.ts'
import { counted } from './wording.ts'

interface Pair {
  readonly labels: Uint8Array
  readonly shape: readonly number[]
}

/** From 0 to 1, exactly what a division in float32 gives. */
const shades = Float32Array.from({ length: 256 }, (_, value) => value / 255)

/** `inputs`: float32 [height x width] or [channels, height, width]; `targets`: int32. */
export function openIdx(source: SourceOf<'idx'>, part: DataPart): OpenDataset {
  const own = checkPair(source)
  const other = source.heldOut === undefined ? undefined : checkPair(source.heldOut)
  if (other !== undefined && `${other.shape}` !== `${own.shape}`) {
    const problem = `images of ${other.shape.join('x')}, but of ${own.shape.join('x')} in ${source.images}.`
    throw malformed(source.heldOut?.images ?? '', 'its header', problem)
  }
  const { shape } = own
  const size = shape.reduce((product, axis) => product * axis, 1)
  const [files, labels] =
    part === 'heldOut' && source.heldOut !== undefined && other !== undefined
      ? [source.heldOut, other.labels]
      : [source, own.labels]
  const images = readIdx(files.images).values
  // Content decides, not the label: one image with two labels is on one side.
  const heldOut = (index: number): boolean =>
    isHeldOut(images.subarray(index * size, (index + 1) * size), source.heldOutShare)
  const about = `the ${counted(labels.length)} images of ${files.images}`
  const numbers =
    other === undefined
      ? numbersOf(part, labels.length, heldOut, about)
      : numbersOf('training', labels.length, no, about)
  const values = 1 + Math.max(highest(own.labels), other === undefined ? 0 : highest(other.labels))
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

/** The labels, and the shape of the images to which they belong. */
function checkPair(files: { readonly images: string; readonly labels: string }): Pair {
  const [count, ...axes] = readIdxShape(files.images)
  const labels = readIdx(files.labels)
  if (axes.length === 0) throw malformed(files.images, 'its header', 'it has one axis: these are labels, not images.')
  if (labels.shape.length !== 1) {
    throw malformed(files.labels, 'its header', `it has ${labels.shape.length} axes: these are images, not labels.`)
  }
  if (labels.shape[0] !== count) {
    throw malformed(files.labels, 'its header', `${labels.shape[0]} labels for the ${count} images of ${files.images}.`)
  }
  return { labels: labels.values, shape: axes.length === 2 ? [1, ...axes] : axes }
}

function highest(labels: Uint8Array): number {
  return labels.reduce((most, label) => Math.max(most, label), 0)
}

const no = (): boolean => false
