/** Writes an imported model back to a file, with what was learned. */
import { splitParameters, type Tensor, withTensors, writeModelFile } from '../onnx/index.ts'
import type { ImportedModel } from './imported.ts'
import { transposed } from './tied-weights.ts'

/** The file's names and new values of what changes: the parameters, and copies that are tied to one. */
export function trainedTensors(model: ImportedModel, parameters: Float32Array): Map<string, Float32Array> {
  const tensors = new Map<string, Float32Array>()
  const fileNames = (name: string): string => model.fileNames.get(name)!
  for (const { name, values } of splitParameters(model.layout, parameters)) tensors.set(fileNames(name), values)
  for (const [copy, table] of model.ties) {
    const values = tensors.get(table)
    const [rows, columns] = (model.file.model.graph.initializers.get(table) as Tensor).shape as [number, number]
    if (values !== undefined) tensors.set(copy, transposed(values, rows, columns))
  }
  return tensors
}

/**
 * The file with these parameters in the place of its own, and all else byte for byte as it was: its operators, names and
 * descriptions. Of a file of float16, they are rounded to that.
 *
 * @throws OwmError `wrong_length`; `external_data` of a model with tensors outside: see `saveTrained`
 */
export function exportTrained(model: ImportedModel, parameters: Float32Array): Uint8Array {
  return withTensors(model.file, trainedTensors(model, parameters))
}

/** The same to a file; with one file of tensors beside it where the original had such, or `external` asks for it. */
export async function saveTrained(
  path: string,
  model: ImportedModel,
  parameters: Float32Array,
  { external }: { readonly external?: boolean } = {},
): Promise<void> {
  const values = trainedTensors(model, parameters)
  await writeModelFile(path, model.file, external === undefined ? { values } : { values, external })
}
