/**
 * Checks of encoded Curve25519 points that RFC 8032 leaves open, made here so that the verdict does not depend on the
 * OpenSSL that Node was built with. The first 32 bytes are looked at: the y coordinate,
 * little-endian, with the sign of x in the top bit (RFC 8032, 5.1.2).
 */

/** y of the eight points whose order divides 8, without the sign of x, little-endian. */
const smallOrderY: readonly string[] = [
  '0000000000000000000000000000000000000000000000000000000000000000', // order 4
  '0100000000000000000000000000000000000000000000000000000000000000', // the neutral element
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', // order 2
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', // order 8
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a', // order 8
]
const smallOrder: ReadonlySet<string> = new Set(smallOrderY)
const firstBytes: ReadonlySet<number> = new Set(smallOrderY.map((hex) => Number.parseInt(hex.slice(0, 2), 16)))

/** Nobody holds a private key of such a point, and signatures under it fit messages that nobody signed. */
export function hasSmallOrder(point: Uint8Array): boolean {
  if (!firstBytes.has(point[0]!)) return false
  const y = Buffer.from(point.subarray(0, 32))
  y[31] = y[31]! & 0x7f
  return smallOrder.has(y.toString('hex'))
}

/** y below p = 2^255 - 19: otherwise one point has two encodings, and one author two names. */
export function isCanonicalPoint(point: Uint8Array): boolean {
  if (point[0]! < 0xed || (point[31]! & 0x7f) !== 0x7f) return true
  for (let i = 1; i < 31; i++) if (point[i] !== 0xff) return true
  return false
}
