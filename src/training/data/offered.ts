/** What a peer offers to learn from, opened for a run that says what its examples have. */
import { existsSync, statSync } from 'node:fs'
import { OwmError } from '../../lib/index.ts'
import { elementCount } from '../../onnx/index.ts'
import type { OfferedData } from '../index.ts'
import type { DataPart, Field } from './dataset.ts'
import { type DataWishes, detectSource } from './detect.ts'
import { noData } from './malformed.ts'
import { type DataSource, type OpenDataset, openDataset } from './source.ts'

/** Text and its tokens are held in memory. */
const maxTextBytes = 1024 ** 3

/** The source that the operator's paths are, of the kind that is wanted. @throws OwmError as `detectSource` */
export function offeredSource(data: OfferedData, wanted: { readonly context?: number | undefined }): DataSource {
  const { extensions, heldOutShare } = data
  // A disk that is not plugged in today is no reason not to learn from the others.
  const roots = data.roots.filter((root) => existsSync(root))
  if (roots.length === 0) throw noData(`There is nothing at ${data.roots.join(', ')}.`)
  const maxBytes = Math.min(maxTextBytes, data.maxBytes)
  const { context } = wanted
  const [only] = roots
  const isFile =
    roots.length === 1 && only !== undefined && statSync(only, { throwIfNoEntry: false })?.isFile() === true
  // A folder of text may hold anything beside it; only a file by itself can be lines of JSON with texts.
  if (context !== undefined && !isFile) {
    return { kind: 'text', roots: [...roots], extensions: [...extensions], maxBytes, heldOutShare, context }
  }
  const wishes: DataWishes = {
    maxBytes,
    heldOutShare,
    ...(context === undefined ? {} : { context }),
    ...(data.target === undefined ? {} : { target: data.target }),
  }
  const found = detectSource(roots, wishes)
  return found.kind === 'text' ? { ...found, extensions: [...extensions] } : found
}

/**
 * Opens a part of what a peer offers, as the run's examples are. Blocking: for worker threads.
 *
 * @throws OwmError `data_does_not_fit` saying how; as `openDataset`
 */
export function openOffered(
  data: OfferedData,
  { fields, classes }: { readonly fields: readonly Field[]; readonly classes?: readonly string[] | undefined },
  part: DataPart,
): OpenDataset {
  const windows = fields.find(({ name }) => name === 'windows')
  const context = windows === undefined ? undefined : windows.shape[0]! - 1
  const found = openDataset(offeredSource(data, { context }), part)
  const why = misfit(found.fields, fields)
  if (why !== undefined) {
    found.close()
    throw new OwmError('data_does_not_fit', `${found.about}: ${why}.`, { roots: data.roots })
  }
  return numbered({ ...found, fields }, classes)
}

function misfit(found: readonly Field[], wanted: readonly Field[]): string | undefined {
  for (const field of wanted) {
    const own = found.find(({ name }) => name === field.name)
    if (own === undefined) return `the run's examples have ${field.name}, these have none`
    if (own.type !== field.type || elementCount(own.shape) !== elementCount(field.shape)) {
      return `${field.name} are ${own.type} [${own.shape.join(', ')}], the run's are ${field.type} [${field.shape.join(', ')}]`
    }
    // Fewer is well: not every peer has seen all classes.
    if (own.type === 'int32' && field.type === 'int32' && own.values > field.values) {
      return `${field.name} have ${own.values} values, the run's have ${field.values}`
    }
  }
  return undefined
}

/** With the run's numbers for classes that have names: a peer that lacks some would count others. */
function numbered(dataset: OpenDataset, classes: readonly string[] | undefined): OpenDataset {
  const own = dataset.classes
  if (classes === undefined || own === undefined) return dataset
  const numbers = own.map((name) => classes.indexOf(name))
  const unknown = own.find((_, at) => numbers[at] === -1)
  if (unknown !== undefined) {
    dataset.close()
    throw new OwmError('data_does_not_fit', `${dataset.about}: the run knows of no class ${unknown}.`)
  }
  if (numbers.every((number, at) => number === at)) return dataset
  const at = dataset.fields.findIndex(({ name }) => name === 'targets')
  return {
    ...dataset,
    classes,
    read: (index, into, row) => {
      dataset.read(index, into, row)
      into[at]![row] = numbers[into[at]![row]!]!
    },
  }
}
