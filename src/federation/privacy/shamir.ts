import { OwmError } from '../../lib/index.ts'
import { eachKeystreamPart } from './keystream.ts'

/**
 * Shamir's secret sharing (1979) of 32-byte secrets, as 16 words over GF(2^16): any `threshold` shares give the secret,
 * fewer say nothing about it. The field allows 65,535 shares. Multiplication has no tables and no branches, so that its
 * time and memory tell nothing of the secret.
 */

export const secretBytes = 32
const words = secretBytes / 2

/** x^16 + x^12 + x^3 + x + 1, without its first term: irreducible over GF(2). */
const reduction = 0x100b

/** The product in GF(2^16). */
export function multiply(a: number, b: number): number {
  let product = 0
  for (let bit = 0; bit < 16; bit++) {
    product ^= a & -((b >> bit) & 1)
    a = ((a << 1) & 0xffff) ^ (reduction & -(a >> 15))
  }
  return product
}

/** `a^(2^16 - 2)`: the inverse of all but 0 (Fermat). */
export function invert(a: number): number {
  let result = 1
  let power = a
  for (let bit = 1; bit < 16; bit++) {
    power = multiply(power, power)
    result = multiply(result, power)
  }
  return result
}

/**
 * The shares of a secret for the points 1 to `count`, 32 bytes each. `coefficients` is a key from which the random
 * polynomials are drawn: secret, and used for this secret alone.
 */
export function dealShares(
  secret: Uint8Array,
  coefficients: Uint8Array,
  threshold: number,
  count: number,
): Uint8Array[] {
  checkBounds(secret, threshold, count)
  const random = new Uint16Array((threshold - 1) * words)
  eachKeystreamPart(coefficients, Math.ceil(random.length / 2), (part, from) => {
    for (let i = 0; i < part.length; i++) {
      const at = 2 * (from + i)
      random[at] = part[i]! & 0xffff
      if (at + 1 < random.length) random[at + 1] = part[i]! >>> 16
    }
  })
  return Array.from({ length: count }, (_, i) => {
    const share = new Uint8Array(secretBytes)
    for (let word = 0; word < words; word++) {
      // Horner, from the highest power down to the secret.
      let value = 0
      for (let power = threshold - 2; power >= 0; power--)
        value = multiply(value, i + 1) ^ random[power * words + word]!
      setWord(share, word, multiply(value, i + 1) ^ wordAt(secret, word))
    }
    return share
  })
}

/** Lagrange's weights at 0 for these points: the same for every secret shared to them. Points are 1 to 65,535. */
export function weightsAtZero(points: readonly number[]): number[] {
  if (new Set(points).size !== points.length || points.some((x) => !Number.isInteger(x) || x < 1 || x > 0xffff)) {
    throw new OwmError('bad_shares', 'The points of shares are different numbers from 1 to 65535.')
  }
  return points.map((x) => {
    let above = 1
    let below = 1
    for (const other of points) {
      if (other === x) continue
      above = multiply(above, other)
      below = multiply(below, other ^ x)
    }
    return multiply(above, invert(below))
  })
}

/** The secret, from exactly as many shares as its threshold and their points' weights. Wrong shares give another one. */
export function combineShares(shares: readonly Uint8Array[], weights: readonly number[]): Uint8Array {
  const secret = new Uint8Array(secretBytes)
  for (const [i, share] of shares.entries()) {
    checkBounds(share, shares.length, weights.length)
    for (let word = 0; word < words; word++) {
      setWord(secret, word, wordAt(secret, word) ^ multiply(wordAt(share, word), weights[i]!))
    }
  }
  return secret
}

function checkBounds(secret: Uint8Array, threshold: number, count: number): void {
  if (secret.length !== secretBytes || !(threshold >= 1) || !(threshold <= count) || !(count <= 0xffff)) {
    throw new OwmError(
      'bad_shares',
      `${threshold} of ${count} shares of ${secret.length} bytes cannot be made or joined.`,
    )
  }
}

function wordAt(bytes: Uint8Array, word: number): number {
  return bytes[2 * word]! | (bytes[2 * word + 1]! << 8)
}
function setWord(bytes: Uint8Array, word: number, value: number): void {
  bytes[2 * word] = value & 0xff
  bytes[2 * word + 1] = value >> 8
}
