/** The model that a run trains, and the files that come of it. */
import { join } from 'node:path'
import { writeFileAtomic } from '../../lib/index.ts'
import { encodeModel, readModelFile, withParameters } from '../../onnx/index.ts'
import type { Field } from '../data/dataset.ts'
import type { TrainableModel } from '../define-model.ts'
import { importModel, saveTrained } from '../imported.ts'
import { withAdapters } from '../lora/adapt.ts'
import { encodeAdapters } from '../lora/adapter-file.ts'
import { mergeAdapters } from '../lora/merge.ts'
import { type LocalJob, outputs } from './job.ts'
import { modelFor } from './models.ts'

export interface Prepared {
  readonly trainable: TrainableModel
  /** Writes the whole model with these parameters, and, of adapters, these beside it. */
  save(folder: string, parameters: Float32Array): Promise<void>
}

/** @throws OwmError as `modelFor`, `importModel`, `withAdapters` and `readModelFile` */
export async function prepare({ model, lora, seed }: LocalJob, fields: readonly Field[]): Promise<Prepared> {
  const base = model.kind === 'file' ? await fromFile(model) : plain(modelFor(model, fields))
  if (lora === undefined) return base
  const adapted = withAdapters(base.trainable, base.trainable.initial(seed), lora)
  return {
    trainable: adapted,
    save: async (folder, adapters) => {
      await writeFileAtomic(join(folder, outputs.adapters), encodeAdapters(adapted, adapters))
      await base.save(folder, mergeAdapters(adapted, adapters))
    },
  }
}

function plain(trainable: TrainableModel): Prepared {
  return {
    trainable,
    save: (folder, parameters) =>
      writeFileAtomic(join(folder, outputs.model), encodeModel(withParameters(trainable.model, parameters))),
  }
}

async function fromFile({ file, ...options }: LocalJob['model'] & { readonly kind: 'file' }): Promise<Prepared> {
  const imported = importModel(await readModelFile(file), options)
  return {
    trainable: imported,
    save: (folder, parameters) => saveTrained(join(folder, outputs.model), imported, parameters),
  }
}
