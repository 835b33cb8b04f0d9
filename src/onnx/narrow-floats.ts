/** float16 (IEEE 754) and bfloat16, as bits, to float32 and back. */

/** By ONNX's number of the type: the exponent's bits and the fraction's. */
const narrowFloats: ReadonlyMap<number, readonly [exponent: number, fraction: number]> = new Map([
  [10, [5, 10]],
  [16, [8, 7]],
])
export const isNarrow = (type: number): boolean => narrowFloats.has(type)

/** Every float16 and bfloat16 is a float32 too. */
export function widened(data: Uint8Array, type: number): Uint8Array {
  const [exponentBits, fractionBits] = narrowFloats.get(type)!
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const result = new Float32Array(data.length / 2)
  const bias = 2 ** (exponentBits - 1) - 1
  const highest = 2 ** exponentBits - 1
  for (let i = 0; i < result.length; i++) {
    const bits = view.getUint16(i * 2, true)
    const sign = bits >> 15 === 1 ? -1 : 1
    const exponent = (bits >> fractionBits) & highest
    const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits
    if (exponent === highest) result[i] = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
    else result[i] = sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias))
  }
  return new Uint8Array(result.buffer)
}

/** The nearest narrow float, of two equally near the even one; as a runtime rounds. */
export function narrowed(values: Float32Array, type: number): Uint8Array {
  const [exponentBits, fractionBits] = narrowFloats.get(type)!
  const bias = 2 ** (exponentBits - 1) - 1
  const infinity = (2 ** exponentBits - 1) * 2 ** fractionBits
  const result = new Uint16Array(values.length)
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
    const size = Math.abs(value)
    if (Number.isNaN(size)) result[i] = infinity + 2 ** (fractionBits - 1)
    else {
      const exponent = Math.max(size === 0 ? 0 : Math.floor(Math.log2(size)), 1 - bias)
      const steps = roundToEven(size / 2 ** (exponent - fractionBits))
      const bits = steps + (exponent + bias - 1) * 2 ** fractionBits
      result[i] = sign + (size === Number.POSITIVE_INFINITY ? infinity : Math.min(bits, infinity))
    }
  }
  return new Uint8Array(result.buffer)
}
function roundToEven(value: number): number {
  const whole = Math.floor(value)
  const rest = value - whole
  return rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? whole + 1 : whole
}
