/**
 * Answers from a checkpoint: a model's ONNX graph and its weights, loaded in a worker thread, generating bytes one by
 * one. It is handed verified weights; it never fetches them.
 *
 * @example
 * const model = await loadModel({ logger }, { graph, parameters, model: { context: 64, vocabulary: 256 } })
 * for await (const bytes of model.generate(prompt, { maxTokens: 64, temperature: 0.8, seed: 1, signal })) send(bytes)
 */

export {
  type AnswerableCheckpoint,
  type AnswerModel,
  type CheckpointAnswerer,
  type CheckpointSource,
  createCheckpointAnswerer,
} from './answerer.ts'
export { type LoadInit, loadModel } from './model.ts'

export interface GenerateOptions {
  readonly maxTokens: number
  /** 0 is greedy. */
  readonly temperature: number
  readonly topK?: number
  readonly topP?: number
  readonly seed?: number
  /** Generation ends before any of these byte strings. */
  readonly stop?: readonly Uint8Array[]
  readonly signal?: AbortSignal
}

export interface LoadedModel {
  /** Yields the new bytes as they come; tokens are bytes, so a chunk can end within a UTF-8 character. */
  generate(prompt: Uint8Array, options: GenerateOptions): AsyncIterable<Uint8Array>
  /** Puts newer weights of the same graph in place; generations under way end on the old ones. */
  replace(parameters: Float32Array): Promise<void>
  stop(): Promise<void>
}
