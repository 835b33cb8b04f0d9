import { globSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'

/** A golden or hostile example of a protocol's bytes. Files: `protocols/NAME/vectors/{valid,invalid}/*.json`. */
export interface Vector {
  readonly name: string
  readonly valid: boolean
  /** What the file holds beside: inputs as hex strings, the expected outcome, or the code of the refusal. */
  readonly content: Readonly<Record<string, unknown>>
}

/**
 * All vectors of a protocol. A test that calls this claims them: `test/protocols.test.ts` fails on a protocol that no
 * test file claims by this very call.
 */
export function claimVectors(protocol: string): Vector[] {
  return globSync(`protocols/${protocol}/vectors/{valid,invalid}/*.json`)
    .sort()
    .map((path) => ({
      name: basename(path, '.json'),
      valid: path.includes('/valid/'),
      content: JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>,
    }))
}

/** A hex field of a vector. */
export function vectorBytes(vector: Vector, field: string): Uint8Array {
  const value = vector.content[field]
  if (typeof value !== 'string') throw new Error(`vector ${vector.name} has no hex field ${field}`)
  return new Uint8Array(Buffer.from(value, 'hex'))
}
