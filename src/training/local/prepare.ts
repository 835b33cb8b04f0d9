/** The model that a run trains, and the files that come of it. */
import { join } from 'node:path'
import { OwmError, writeFileAtomic } from '../../lib/index.ts'
import { encodeModel, readModelFile, withParameters } from '../../onnx/index.ts'
import type { Field } from '../data/dataset.ts'
import type { TrainableModel } from '../define-model.ts'
import { saveTrained } from '../export-trained.ts'
import { importModel } from '../imported.ts'
import { withAdapters } from '../lora/adapt.ts'
import { encodeAdapters, weightsHash } from '../lora/adapter-file.ts'
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
  const open = async (): Promise<Prepared> => (model.kind === 'file' ? fromFile(model) : plain(modelFor(model, fields)))
  const { trainable, save } = await open()
  if (lora === undefined) return { trainable, save }
  const adapted = withAdapters(trainable, trainable.initial(seed), lora)
  return {
    trainable: adapted,
    save: async (folder, adapters) => {
      await writeFileAtomic(join(folder, outputs.adapters), encodeAdapters(adapted, adapters))
      // The base's file is opened again, rather than held beside its weights for as long as the run takes.
      const base = await open()
      if (weightsHash(base.trainable.initial(seed)) !== weightsHash(adapted.weights)) {
        throw new OwmError('wrong_base', 'The model file has changed since the run began; its adapters alone are kept.')
      }
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
