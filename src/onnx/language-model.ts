import { OwmError } from '../lib/index.ts'
import { decodeModel } from './decode.ts'
import { openGraph } from './inline-graph.ts'
import type { Model } from './model.ts'

/** What a language model's graph promises beside its parameters. */
export const tokensInput = 'tokens'
export const logitsOutput = 'logits'

/**
 * Reads a language model's graph from anywhere and checks it whole: operators, shapes, sizes, and the contract `tokens`
 * int32 [batch, sequence] -> `logits` float32 [batch, sequence, vocabulary], where `batch` and `sequence` are open.
 *
 * @throws OwmError `oversized`, `malformed_model`, `unsupported_model`, `bad_graph`
 */
export function decodeLanguageModel(
  bytes: Uint8Array,
  { context, vocabulary }: { readonly context: number; readonly vocabulary: number },
): Model {
  const model = decodeModel(bytes)
  const tokens = model.graph.inputs.find(({ name }) => name === tokensInput)
  if (tokens?.type !== 'int32' || tokens.shape.join() !== 'batch,sequence') {
    throw new OwmError('bad_graph', 'A language model takes tokens as int32 [batch, sequence].')
  }
  // With numbers in the place of names, every size in the graph is known and bounded.
  const logits = openGraph(model.graph, { batch: 1, sequence: context }).outputs.get(logitsOutput)
  if (logits?.type !== 'float32' || logits.shape.join() !== [1, context, vocabulary].join()) {
    throw new OwmError('bad_graph', `A language model gives logits as float32 [batch, sequence, ${vocabulary}].`)
  }
  return model
}
