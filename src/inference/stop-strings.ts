/** Holds back what may be the beginning of a stop string, and tells when one is complete. */
export interface StopFilter {
  /** The bytes that may go out now; `stopped` when a stop string has come, which is left out. */
  push(byte: number): { readonly bytes: Uint8Array; readonly stopped: boolean }
  /** What is still held back when generation ends otherwise. */
  rest(): Uint8Array
}

export function createStopFilter(stops: readonly Uint8Array[]): StopFilter {
  let held: number[] = []
  return {
    push: (byte) => {
      held.push(byte)
      const found = stops.find((stop) => endsWith(held, stop, stop.length))
      if (found !== undefined) {
        const bytes = Uint8Array.from(held.slice(0, held.length - found.length))
        held = []
        return { bytes, stopped: true }
      }
      const keep = Math.max(0, ...stops.map((stop) => longestStart(held, stop)))
      const bytes = Uint8Array.from(held.slice(0, held.length - keep))
      held = held.slice(held.length - keep)
      return { bytes, stopped: false }
    },
    rest: () => Uint8Array.from(held),
  }
}

/** Whether `text` ends with the first `length` bytes of `stop`. */
function endsWith(text: readonly number[], stop: Uint8Array, length: number): boolean {
  if (text.length < length) return false
  for (let at = 0; at < length; at++) if (text[text.length - length + at] !== stop[at]) return false
  return true
}

/** The length of the longest beginning of `stop` with which `text` ends. */
function longestStart(text: readonly number[], stop: Uint8Array): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (endsWith(text, stop, length)) return length
  }
  return 0
}
