/**
 * ONNX without a framework: the protobuf, a typed graph, and onnxruntime sessions that run in worker threads and never
 * block the peer's event loop.
 *
 * A model from the network is read by this room's own bounded reader, its operators, shapes and sizes are checked, and
 * a runtime only ever sees bytes that this room has written. A file from the user's own disk, of any exporter, is brought
 * into the same form (`import/`). Importing the room loads no runtime and starts no thread.
 *
 * @example
 * const g = createGraphBuilder('double')
 * const x = g.input('x', 'float32', ['batch', 4])
 * g.output('y', g.op('Mul', [x, g.scalar('float32', 2)]))
 * const bytes = encodeModel(g.model())
 */

/** The order, names and shapes of a model's parameters within its flat vector. */
export interface ParameterLayout {
  readonly length: number
  readonly entries: readonly { readonly name: string; readonly shape: readonly number[]; readonly offset: number }[]
}

export { type Constant, constantFeeds, withoutLargeConstants } from './constants.ts'
export { decodeModel, defaultLimits, type ModelLimits } from './decode.ts'
export { staticShape } from './dimensions.ts'
export { encodeModel } from './encode.ts'
export { createGraphBuilder, type GraphBuilder, type Step, type Value } from './graph.ts'
export { type ImportGraphOptions, importGraph } from './import/graph.ts'
export { inlineGraph, openGraph } from './inline-graph.ts'
export { decodeLanguageModel, logitsOutput, tokensInput } from './language-model.ts'
export { dataInput, parameterLayout, splitParameters, withParameters } from './layout.ts'
export { peakBytes } from './memory.ts'
export * from './model.ts'
export { type ModelFile, openModelFile, readModelFile } from './model-file.ts'
export { matchesAny } from './name-patterns.ts'
export type { AttributesOf, OperatorName } from './operators/index.ts'
export { probeRuntime, requireProvider } from './probe.ts'
export { bytesField, floatField, type Rope, ropeBytes, stringField, varintField } from './protobuf.ts'
export { type Precision, type Provider, type ProviderName, providers, threadsFor } from './providers.ts'
export { type QuantiseOptions, quantiseModel } from './quantise/quantise.ts'
export { createRandom, type Random } from './random.ts'
export { openSession, type RuntimeTensor, type Session, type SessionOptions } from './session.ts'
export { numberOf, type WeightedProduct, weightedProducts } from './weighted-products.ts'
export { type CallOptions, startWorker, type WorkerClient } from './worker-client.ts'
export { type CallContext, type Reply, serveWorker, type Verbs } from './worker-server.ts'
export { exportModel, withTensors, writeModelFile } from './write-model-file.ts'
