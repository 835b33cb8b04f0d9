import { errorCode, OwmError, systemClock } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import type { GenerateOptions, LoadedModel } from './index.ts'
import { loadModel } from './model.ts'

/** A model that nobody asked for so long gives its memory back. */
const idleUnloadMs = 10 * 60_000

/** What is known of a verified checkpoint. */
export interface AnswerableCheckpoint {
  readonly name: string
  readonly run: string
  readonly round: number
  /** CID of the checkpoint's manifest: what an answer names. */
  readonly checkpoint: string
  readonly model: { readonly context: number; readonly vocabulary: number }
  readonly signatures: number
  readonly certifiedMs: number
}

/** Where checkpoints come from. They are verified by whoever gives them. */
export interface CheckpointSource<C extends AnswerableCheckpoint> {
  /** The newest of each name. */
  checkpoints(): readonly C[]
  graph(checkpoint: C, signal?: AbortSignal): Promise<Uint8Array>
  weights(checkpoint: C, signal?: AbortSignal): Promise<Float32Array>
}

export interface AnswerStream {
  readonly checkpoint: string
  readonly round: number
  readonly tokens: AsyncIterable<Uint8Array>
}

/** A model that can be asked now: the newest certified checkpoint of a name. */
export interface AnswerModel {
  readonly id: string
  /** CID of the checkpoint's manifest. */
  readonly checkpoint: string
  readonly run: string
  readonly round: number
  /** Bytes of text seen at once. */
  readonly contextTokens: number
  readonly certifiedMs: number
  readonly signatures: number
}

/** Answers from the newest checkpoint of a model, loading it when first asked and replacing its weights when a newer one is certified. */
export interface CheckpointAnswerer {
  models(): readonly AnswerModel[]
  /** @throws OwmError `no_checkpoint`, `model_not_found` */
  generate(model: string, prompt: Uint8Array, options: GenerateOptions): Promise<AnswerStream>
  stop(): Promise<void>
}

interface Loaded {
  readonly run: string
  readonly model: LoadedModel
  checkpoint: string
  round: number
  callOffUnload: () => void
}

export function createCheckpointAnswerer<C extends AnswerableCheckpoint>({
  source,
  logger,
}: {
  readonly source: CheckpointSource<C>
  readonly logger: Logger
}): CheckpointAnswerer {
  const loaded = new Map<string, Promise<Loaded>>()

  const unload = async (name: string): Promise<void> => {
    const entry = loaded.get(name)
    loaded.delete(name)
    const found = await entry?.catch(() => undefined)
    found?.callOffUnload()
    await found?.model.stop()
  }

  /** Loads, or brings up to the checkpoint, one change of a model at a time. */
  const bringUp = async (before: Promise<Loaded> | undefined, checkpoint: C): Promise<Loaded> => {
    const current = await before?.catch(() => undefined)
    current?.callOffUnload()
    if (current?.run === checkpoint.run) {
      if (current.checkpoint !== checkpoint.checkpoint) {
        try {
          await current.model.replace(await source.weights(checkpoint))
          current.checkpoint = checkpoint.checkpoint
          current.round = checkpoint.round
        } catch (error) {
          logger.warn(
            { code: errorCode(error), round: checkpoint.round },
            'the newest weights are not at hand; answering from older ones',
          )
        }
      }
      return current
    }
    await current?.model.stop()
    const [graph, parameters] = await Promise.all([source.graph(checkpoint), source.weights(checkpoint)])
    const model = await loadModel({ logger }, { graph, parameters, model: checkpoint.model })
    logger.info({ model: checkpoint.name, round: checkpoint.round }, 'model loaded')
    return {
      run: checkpoint.run,
      model,
      checkpoint: checkpoint.checkpoint,
      round: checkpoint.round,
      callOffUnload: () => undefined,
    }
  }

  return {
    models: () =>
      source.checkpoints().map(({ name, checkpoint, run, round, model, certifiedMs, signatures }) => ({
        id: name,
        checkpoint,
        run,
        round,
        contextTokens: model.context,
        certifiedMs,
        signatures,
      })),
    generate: async (name, prompt, options) => {
      const all = source.checkpoints()
      const checkpoint = all.find((candidate) => candidate.name === name)
      if (all.length === 0)
        throw new OwmError('no_checkpoint', 'No model has a certified checkpoint yet; ask again after the first round.')
      if (checkpoint === undefined) {
        throw new OwmError(
          'model_not_found',
          `There is no model ${name}; there is ${all.map((known) => known.name).join(', ')}.`,
        )
      }
      const entry = bringUp(loaded.get(name), checkpoint)
      loaded.set(name, entry)
      const ready = await entry.catch((error) => {
        if (loaded.get(name) === entry) loaded.delete(name)
        throw error
      })
      ready.callOffUnload()
      ready.callOffUnload = systemClock.after(idleUnloadMs, () => void unload(name))
      return { checkpoint: ready.checkpoint, round: ready.round, tokens: ready.model.generate(prompt, options) }
    },
    stop: async () => {
      for (const name of [...loaded.keys()]) await unload(name)
    },
  }
}
