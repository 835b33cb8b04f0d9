/**
 * Files in folders, one for each class: images of one size, or the first bytes of any files. All are read once when the
 * source is opened, since their content decides the side of the split; what was decoded stays in memory where it fits.
 */
import { blake3Of } from '../../lib/index.ts'
import { listClasses } from './class-folders.ts'
import type { DataPart, Field } from './dataset.ts'
import { decodeImage } from './decode-image.ts'
import { readBounded } from './file.ts'
import { createFingerprint } from './fingerprint.ts'
import type { Image } from './image.ts'
import type { Watch } from './lines.ts'
import { malformed } from './malformed.ts'
import { remembered } from './remembered.ts'
import type { OpenDataset } from './source.ts'
import type { SourceOf } from './source-schema.ts'
import { emptyPart } from './split.ts'
import { plural } from './wording.ts'

const maxFileBytes = 64 * 1024 * 1024
const watchEvery = 256

interface Content {
  readonly field: Field
  /** One, and many. */
  readonly about: readonly [string, string]
  write(bytes: Uint8Array, file: string, into: Float32Array | Int32Array, row: number): void
}

/** `inputs`: float32 [channels, height, width] or [their product], or int32 [length] of bytes; `targets`: int32. */
export function openFolder(source: SourceOf<'folder'>, part: DataPart, watch?: Watch): OpenDataset {
  const { classes, files } = listClasses(source.root)
  const fingerprint = createFingerprint('folder')
  fingerprint.add(JSON.stringify([part, source.heldOutShare, source.content, classes]))
  const chosen: { readonly path: string; readonly label: number }[] = []
  let content: Content | undefined
  for (const [at, { path, label }] of files.entries()) {
    const bytes = readBounded(path, maxFileBytes)
    content ??= contentOf(source, bytes, path)
    const hash = blake3Of(bytes)
    if (hash[0]! < source.heldOutShare === (part === 'heldOut')) {
      chosen.push({ path, label })
      fingerprint.add(hash)
      fingerprint.add(label)
    }
    if (at % watchEvery === 0) watch?.(at, files.length)
  }
  if (content === undefined || chosen.length === 0) throw emptyPart(part, `the files in ${source.root}`)
  const { field, about, write } = content
  return remembered({
    about: `${plural(chosen.length, ...about)} in ${plural(classes.length, 'class', 'classes')}`,
    fields: [field, { name: 'targets', type: 'int32', shape: [], values: classes.length }],
    classes,
    length: chosen.length,
    fingerprint: fingerprint.hex(),
    read: (index, [inputs, targets], row) => {
      const { path, label } = chosen[index]!
      write(readBounded(path, maxFileBytes), path, inputs!, row)
      targets![row] = label
    },
    close: () => undefined,
  })
}

/** The first file says what all are like. */
function contentOf({ content }: SourceOf<'folder'>, first: Uint8Array, path: string): Content {
  if (content.kind === 'bytes') {
    const { length } = content
    return {
      field: { name: 'inputs', type: 'int32', shape: [length], values: 256 },
      about: ['file', 'files'],
      write: (bytes, _, into, row) => {
        into.fill(0, row * length, (row + 1) * length)
        into.set(bytes.subarray(0, length), row * length)
      },
    }
  }
  const { channels, height, width } = decodeImage(first, path)
  const size = height * width
  const colour = channels === 1 ? 'grey' : 'colour'
  return {
    field: { name: 'inputs', type: 'float32', shape: content.flat ? [channels * size] : [channels, height, width] },
    about: [`${colour} image of ${width}x${height}`, `${colour} images of ${width}x${height}`],
    write: (bytes, file, into, row) => {
      const image = decodeImage(bytes, file)
      if (image.channels !== channels || image.height !== height || image.width !== width) {
        throw malformed(
          file,
          '',
          `it is ${shapeOf(image)}, and ${path} is ${shapeOf({ channels, height, width })}; make all alike.`,
        )
      }
      const from = row * channels * size
      for (let pixel = 0; pixel < size; pixel++) {
        for (let channel = 0; channel < channels; channel++) {
          into[from + channel * size + pixel] = image.pixels[pixel * channels + channel]! / 255
        }
      }
    },
  }
}

function shapeOf({ channels, height, width }: Omit<Image, 'pixels'>): string {
  return `${width}x${height} in ${channels === 1 ? 'grey' : 'colour'}`
}
