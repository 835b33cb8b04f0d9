/** Small files to read, and what every data set must do. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { errorCode } from '../../src/lib/index.ts'
import type { DataPart, DataSource, OpenDataset } from '../../src/training/index.ts'
import { openDataset } from '../../src/training/index.ts'

/** Gone when the test file ends. */
export const folder = mkdtempSync(join(tmpdir(), 'owm-data-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

/** Writes a file below the folder, and gives its path. */
export function put(name: string, content: string | Uint8Array): string {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
  return path
}

/** An example as arrays, one for each field. */
export type Example = readonly (readonly number[])[]

export function exampleOf(dataset: OpenDataset, index: number): Example {
  const sizes = dataset.fields.map(({ shape }) => shape.reduce((product, size) => product * size, 1))
  // In the middle of a batch whose other rows are not to be touched.
  const batch = dataset.fields.map(({ type }, at) =>
    type === 'float32' ? new Float32Array(3 * sizes[at]!).fill(-7) : new Int32Array(3 * sizes[at]!).fill(-7),
  )
  dataset.read(index, batch, 1)
  return batch.map((values, at) => {
    const size = sizes[at]!
    const around = [...values.subarray(0, size), ...values.subarray(2 * size)]
    assert.ok(around.every((value) => value === -7))
    return [...values.subarray(size, 2 * size)]
  })
}

export function examplesOf(source: DataSource, part: DataPart): Example[] {
  const dataset = openDataset(source, part)
  const examples = Array.from({ length: dataset.length }, (_, index) => exampleOf(dataset, index))
  dataset.close()
  return examples
}

/** What holds of all kinds of sources; gives what is in both parts. */
export function checkDataset(source: DataSource): { readonly training: Example[]; readonly heldOut: Example[] } {
  const parts = { training: [] as Example[], heldOut: [] as Example[] }
  for (const part of ['training', 'heldOut'] as const) {
    const dataset = openDataset(source, part)
    const again = openDataset(source, part)
    assert.is(again.fingerprint, dataset.fingerprint)
    assert.match(dataset.fingerprint, /^[0-9a-f]{64}$/)
    assert.ok(dataset.length > 0)
    for (let index = 0; index < dataset.length; index++) parts[part].push(exampleOf(dataset, index))
    // From the end, and each twice: order and what was read before make no difference.
    for (let index = again.length - 1; index >= 0; index--) {
      assert.equal(exampleOf(again, index), parts[part][index])
      if (index % 5 === 0) assert.equal(exampleOf(again, index), parts[part][index])
    }
    for (const [at, field] of dataset.fields.entries()) {
      for (const example of parts[part]) {
        if (field.type === 'int32') assert.ok(example[at]!.every((value) => value >= 0 && value < field.values))
        else assert.ok(example[at]!.every((value) => Number.isFinite(value)))
      }
    }
    dataset.close()
    again.close()
    again.close()
  }
  assert.is.not(openDataset(source, 'training').fingerprint, openDataset(source, 'heldOut').fingerprint)
  return parts
}

/** The code and words of what opening throws. */
export function failure(source: DataSource, part: DataPart = 'training'): { code: string; message: string } {
  try {
    openDataset(source, part).close()
  } catch (error) {
    return { code: errorCode(error), message: (error as Error).message }
  }
  throw new Error('it was opened')
}
