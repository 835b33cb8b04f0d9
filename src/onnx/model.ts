import { OwmError } from '../lib/index.ts'

/** What a tensor holds. The numbers are ONNX's `TensorProto.DataType`. */
export const elementTypes = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9, float16: 10, float64: 11 } as const
export type ElementType = keyof typeof elementTypes
export const elementBytes: Readonly<Record<ElementType, number>> = {
  float32: 4,
  uint8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
  float16: 2,
  float64: 8,
}

/** A number, or the name of a size that is known only when the model runs. */
export type Dimension = number | string

export interface Tensor {
  readonly type: ElementType
  readonly shape: readonly number[]
  /** Row-major, little-endian. */
  readonly data: Uint8Array
}
export interface ValueInfo {
  readonly name: string
  readonly type: ElementType
  readonly shape: readonly Dimension[]
}
export type Attribute =
  | { readonly kind: 'int' | 'float'; readonly value: number }
  | { readonly kind: 'ints' | 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'tensor'; readonly value: Tensor }
  | { readonly kind: 'graph'; readonly value: Graph }

export interface Node {
  readonly op: string
  readonly name: string
  /** `''` stands for an optional input that is left out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: Readonly<Record<string, Attribute>>
}
/**
 * Small integers that stand for numbers, as `DequantizeLinear` takes them: made by `quantiseModel`, and in no file from
 * elsewhere. Two of int4 share a byte, the first in its low half.
 */
export const packedTypes = { int8: 3, int4: 22 } as const
export interface PackedTensor {
  readonly type: keyof typeof packedTypes
  readonly shape: readonly number[]
  readonly data: Uint8Array
}
export interface Graph {
  readonly name: string
  readonly inputs: readonly ValueInfo[]
  readonly outputs: readonly ValueInfo[]
  readonly initializers: ReadonlyMap<string, Tensor>
  readonly packed?: ReadonlyMap<string, PackedTensor>
  readonly nodes: readonly Node[]
}
/** A graph over the standard operators of one version. */
export interface Model {
  readonly opset: number
  readonly graph: Graph
}

/** Opset 20 brought `Gelu`; every runtime of 2024 and later has it. IR 9 is what came with it. */
export const opset = 20
export const irVersion = 9
/** Opset 21 brought blocks to `DequantizeLinear`, and IR 10 int4: of quantised models alone. */
export const packedOpset = 21
export const packedIrVersion = 10

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

/** Packs numbers as a tensor of the given type. */
export function tensorOf(type: ElementType, shape: readonly number[], values: ArrayLike<number>): Tensor {
  if (elementCount(shape) !== values.length) {
    throw new OwmError('bad_graph', `${values.length} values do not fill a tensor of shape [${shape.join(', ')}].`)
  }
  const typed =
    type === 'int64'
      ? BigInt64Array.from(Array.from(values, BigInt))
      : type === 'float32'
        ? Float32Array.from(values)
        : type === 'float64'
          ? Float64Array.from(values)
          : type === 'int32'
            ? Int32Array.from(values)
            : type === 'float16'
              ? Float16Array.from(values)
              : Uint8Array.from(values)
  return { type, shape, data: new Uint8Array(typed.buffer) }
}

/** The numbers of a small integer tensor: an axis, a shape. Numbers beyond a double's stand for "to the end". */
export function integersOf(tensor: Tensor): number[] | undefined {
  const view = new DataView(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength)
  const numbers = (read: (at: number) => number) =>
    Array.from({ length: elementCount(tensor.shape) }, (_, i) => read(i))
  const bound = Number.MAX_SAFE_INTEGER
  switch (tensor.type) {
    case 'int64':
      return numbers((i) => Math.min(Math.max(Number(view.getBigInt64(i * 8, true)), -bound), bound))
    case 'int32':
      return numbers((i) => view.getInt32(i * 4, true))
    case 'bool':
      return numbers((i) => view.getUint8(i))
    case 'float32': {
      // The bounds of a range.
      const value = tensor.shape.length === 0 ? view.getFloat32(0, true) : Number.NaN
      return Number.isInteger(value) ? [value] : undefined
    }
    default:
      return undefined
  }
}
