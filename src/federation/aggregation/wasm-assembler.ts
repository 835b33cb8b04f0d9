/**
 * Just enough of an assembler to write WebAssembly kernels as nested expressions, at load, without a toolchain: an
 * instruction is a function of the code of its operands. Binary format and opcodes: WebAssembly Core Specification 2.0,
 * chapter 5, with fixed-width SIMD.
 *
 * @example
 * const double = wasmFunction('double', ['i32'], 'i32', (f, x) => i32.add(x.get, x.get))
 * const bytes = wasmModule([double], 'memory')
 */

/** Bytes of instructions. */
export type Code = readonly number[]
export type ValueType = 'i32' | 'v128'

const valueTypes: Readonly<Record<ValueType, number>> = { i32: 0x7f, v128: 0x7b }

export interface Local {
  readonly get: Code
  set(value: Code): Code
}

export interface Body {
  local(type: ValueType): Local
  /** Runs `body` with `at` = `from`, `from + step`, ... below `to`: at least once, so there must be something to do. */
  each(at: Local, from: Code, to: Code, step: Code, body: Code): Code
}

export interface WasmFunction {
  readonly name: string
  readonly params: readonly ValueType[]
  readonly result: ValueType | undefined
  readonly code: Code
}

function unsigned(value: number): number[] {
  const bytes: number[] = []
  do {
    const rest = Math.floor(value / 128)
    bytes.push((value % 128) + (rest > 0 ? 128 : 0))
    value = rest
  } while (value > 0)
  return bytes
}

function signed(value: number): number[] {
  const bytes: number[] = []
  for (;;) {
    const low = value & 0x7f
    value >>= 7
    const last = (value === 0 && (low & 0x40) === 0) || (value === -1 && (low & 0x40) !== 0)
    bytes.push(last ? low : low | 0x80)
    if (last) return bytes
  }
}

const vector = (items: readonly Code[]): Code => [...unsigned(items.length), ...items.flat()]
const sized = (code: Code): Code => [...unsigned(code.length), ...code]
const text = (value: string): Code => sized([...new TextEncoder().encode(value)])

const plain =
  (opcode: number) =>
  (...operands: Code[]): Code => [...operands.flat(), opcode]
const simd =
  (opcode: number) =>
  (...operands: Code[]): Code => [...operands.flat(), 0xfd, ...unsigned(opcode)]
/** Aligned to a byte as far as the engine is told: the kernels keep to 16 all the same. */
const memory =
  (prefix: Code) =>
  (offset: number, ...operands: Code[]): Code => [...operands.flat(), ...prefix, 0, ...unsigned(offset)]

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value)],
  load: memory([0x28]),
  add: plain(0x6a),
  mul: plain(0x6c),
  shl: plain(0x74),
  lessThan: plain(0x49),
}

export const v128 = {
  load: memory([0xfd, 0x00]),
  load32Splat: memory([0xfd, 0x09]),
  load64Splat: memory([0xfd, 0x0a]),
  store: memory([0xfd, 0x0b]),
  zero: [0xfd, 0x0c, ...Array<number>(16).fill(0)] as Code,
  /** Lanes 0 to 15 are the first operand's bytes, 16 to 31 the second's. */
  shuffle: (a: Code, b: Code, lanes: readonly number[]): Code => [...a, ...b, 0xfd, 0x0d, ...lanes],
  and: simd(0x4e),
  xor: simd(0x51),
  bitselect: simd(0x52),
}

export const i16x8 = { narrow: simd(0x85), add: simd(0x8e) }

export const i32x4 = {
  splat: simd(0x11),
  lane: (lane: number, operand: Code): Code => [...operand, 0xfd, 0x1b, lane],
  lessThan: simd(0x39),
  abs: simd(0xa0),
  shl: simd(0xab),
  shr: simd(0xac),
  add: simd(0xae),
  sub: simd(0xb1),
  min: simd(0xb6),
  max: simd(0xb8),
  maxUnsigned: simd(0xb9),
  dot: simd(0xba),
}

export const i64x2 = {
  extendLow: simd(0xc7),
  extendHigh: simd(0xc8),
  shrUnsigned: simd(0xcd),
  shl: simd(0xcb),
  add: simd(0xce),
  productLow: simd(0xdc),
  productHigh: simd(0xdd),
}

export const f64x2 = { convertLow: simd(0xfe), add: simd(0xf0), mul: simd(0xf2) }

/** `write` gets the parameters as locals and returns the body. */
export function wasmFunction(
  name: string,
  params: readonly ValueType[],
  result: ValueType | undefined,
  write: (body: Body, ...params: Local[]) => Code,
): WasmFunction {
  const types: ValueType[] = [...params]
  const local = (index: number): Local => ({
    get: [0x20, ...unsigned(index)],
    set: (value) => [...value, 0x21, ...unsigned(index)],
  })
  const body: Body = {
    local: (type) => local(types.push(type) - 1),
    each: (at, from, to, step, inner) => [
      ...at.set(from),
      ...[0x03, 0x40],
      ...inner,
      ...at.set(i32.add(at.get, step)),
      ...i32.lessThan(at.get, to),
      ...[0x0d, 0x00, 0x0b],
    ],
  }
  const instructions = write(body, ...params.map((_, index) => local(index)))
  const locals = types.slice(params.length).map((type) => [1, valueTypes[type]])
  return { name, params, result, code: sized([...vector(locals), ...instructions, 0x0b]) }
}

/** A module that imports its memory as `env.memory` and exports the functions. */
export function wasmModule(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const section = (id: number, content: Code): Code => [id, ...sized(content)]
  const type = ({ params, result }: WasmFunction): Code => [
    0x60,
    ...vector(params.map((one) => [valueTypes[one]])),
    ...vector(result === undefined ? [] : [[valueTypes[result]]]),
  ]
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, vector(functions.map(type))),
    ...section(2, vector([[...text('env'), ...text('memory'), 0x02, 0x00, 0x01]])),
    ...section(3, vector(functions.map((_, index) => unsigned(index)))),
    ...section(7, vector(functions.map(({ name }, index) => [...text(name), 0x00, ...unsigned(index)]))),
    ...section(10, vector(functions.map(({ code }) => code))),
  ])
}
