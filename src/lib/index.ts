/**
 * What every room stands on and nothing that any one room owns: errors with stable codes, abort signals, time,
 * lifecycle, events, rate limits, the canonical codec and its hashes, and files that survive a crash.
 *
 * Nothing here knows of peers, models or money. A thing used by one room only belongs in that room.
 *
 * @example
 * import { OwmError, decode, encode, withTimeout } from '../lib/index.ts'
 */
export * from './bytes.ts'
export * from './codec.ts'
export * from './emitter.ts'
export * from './errors.ts'
export * from './files.ts'
export * from './lifecycle.ts'
export * from './rate-limit.ts'
export * from './signals.ts'
export * from './time.ts'
