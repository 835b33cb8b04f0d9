/** Pseudo-random numbers from integers alone: the same on every machine. Not for secrets. */
export interface Random {
  /** 0 to 2^32 - 1. */
  uint32(): number
  /** 0 to `limit` - 1. */
  below(limit: number): number
  /** 0 to 1, 1 excluded; a multiple of 2^-32. */
  unit(): number
}

/** xoshiro128** 1.1 (Blackman and Vigna 2018), seeded by splitmix32. */
export function createRandom(seed: number): Random {
  let counter = seed | 0
  const split = (): number => {
    counter = (counter + 0x9e3779b9) | 0
    let z = counter
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return z ^ (z >>> 15)
  }
  let [a, b, c, d] = [split(), split(), split(), split()]
  const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by))
  const uint32 = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9)
    const t = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = rotate(d, 11)
    return result >>> 0
  }
  return {
    uint32,
    // The bias of a 32-bit remainder is below limit / 2^32.
    below: (limit) => Math.floor((uint32() / 0x1_0000_0000) * limit),
    unit: () => uint32() / 0x1_0000_0000,
  }
}
