/** The thread in which ONNX files are looked into and quantised. */
import { errorCode, errorMessage, OwmError, writeFileAtomic } from '../../lib/index.ts'
import {
  elementCount,
  encodeModel,
  type Graph,
  type Model,
  openSession,
  quantiseModel,
  readModelFile,
  serveWorker,
  withParameters,
} from '../../onnx/index.ts'
import { openDataset } from '../data/source.ts'
import { importModel } from '../imported.ts'
import { unitOf } from '../local/job.ts'
import { objectiveOf } from '../objective.ts'
import type { ModelInspection, NamedShape, Quality, Quantised, QuantiseJob } from './index.ts'
import { qualityOf } from './quality.ts'

serveWorker({
  inspect: async ({ file }: { readonly file: string }) => ({ value: await inspect(file) }),
  quantise: async (job: QuantiseJob, { signal }) => ({ value: await quantise(job, signal) }),
})

async function inspect(path: string): Promise<ModelInspection> {
  const file = await readModelFile(path)
  const { graph } = file.model
  const operators: Record<string, number> = {}
  for (const { op } of graph.nodes) operators[op] = (operators[op] ?? 0) + 1
  const tensors = [...graph.initializers.values()]
  return {
    inputs: shapesOf(graph.inputs.filter(({ name }) => !graph.initializers.has(name))),
    outputs: shapesOf(graph.outputs),
    operators,
    weights: tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    bytes: tensors.reduce((sum, { data }) => sum + data.length, 0),
    trainable: trainableOf(file),
  }
}

function shapesOf(values: Graph['inputs']): NamedShape[] {
  return values.map(({ name, type, shape }) => ({ name, type, shape }))
}

function trainableOf(file: Awaited<ReturnType<typeof readModelFile>>): ModelInspection['trainable'] {
  try {
    const { layout, frozen } = importModel(file)
    const tensors = layout.entries.map(({ name, shape }) => ({ name, type: 'float32', shape }))
    return { parameters: layout.length, tensors, frozen }
  } catch (error) {
    if (!(error instanceof OwmError)) throw error
    return { code: errorCode(error), message: errorMessage(error) }
  }
}

async function quantise(job: QuantiseJob, signal: AbortSignal): Promise<Quantised> {
  const { file, out, bits, blockSize, exempt } = job
  const imported = importModel(await readModelFile(file))
  const whole = withParameters(imported.model, imported.initial(0))
  const small = quantiseModel(whole, { bits, ...(blockSize && { blockSize }), ...(exempt && { exempt }) })
  const bytes = encodeModel(small)
  const loss = job.data === undefined ? null : await losses(job, job.data, whole, small, signal)
  await writeFileAtomic(out, bytes)
  return { bytes: { before: encodeModel(whole).length, after: bytes.length }, loss }
}

async function losses(
  { examples, threads }: QuantiseJob,
  source: NonNullable<QuantiseJob['data']>,
  whole: Model,
  small: Model,
  signal: AbortSignal,
): Promise<NonNullable<Quantised['loss']>> {
  const data = openDataset(source, 'heldOut')
  try {
    const objective = objectiveOf(data.fields)
    const { unit, perNat } = unitOf(objective, data)
    const of = async (model: Model): Promise<Quality> => {
      const session = await openSession(encodeModel(model), { threads })
      try {
        const quality = await qualityOf(session, model, objective, data, { examples, signal })
        return { ...quality, loss: quality.loss * perNat }
      } finally {
        await session.release()
      }
    }
    return { unit, before: await of(whole), after: await of(small) }
  } finally {
    data.close()
  }
}
