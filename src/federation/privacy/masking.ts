import { eachKeystreamPart } from './keystream.ts'

/** Keys whose streams are added to a vector or taken from it, modulo 2^32 and so modulo each smaller power of two. */
export interface Masks {
  readonly add: readonly Uint8Array[]
  readonly subtract: readonly Uint8Array[]
}

/** Changes `elements`. Two to three passes of the second cache per key: about a third of AES's own time. */
export function applyMasks(elements: Uint32Array, masks: Masks): void {
  for (const key of masks.add) {
    eachKeystreamPart(key, elements.length, (part, from) => {
      for (let i = 0; i < part.length; i++) elements[from + i] = elements[from + i]! + part[i]!
    })
  }
  for (const key of masks.subtract) {
    eachKeystreamPart(key, elements.length, (part, from) => {
      for (let i = 0; i < part.length; i++) elements[from + i] = elements[from + i]! - part[i]!
    })
  }
}

/** Adds to `sum`, modulo 2^32. */
export function addElements(sum: Uint32Array, elements: Uint32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + elements[i]!
}
