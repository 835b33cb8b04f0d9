/**
 * ONNX without a framework: the protobuf, a typed graph, and onnxruntime sessions that run in worker threads and never
 * block the peer's event loop.
 */

/** The order, names and shapes of a model's parameters within its flat vector. */
export interface ParameterLayout {
  readonly length: number
  readonly entries: readonly { readonly name: string; readonly shape: readonly number[]; readonly offset: number }[]
}
