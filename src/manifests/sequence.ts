import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, errorCode, writeFileAtomic } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'

const fileName = 'manifest-sequence'
/** Far beyond any time in milliseconds: a file with more is damaged, and going on from there would run out of numbers. */
const maxStored = 2 ** 52

/** Numbers that only rise, over restarts, `kill -9` and clocks that are set back. */
export interface Sequence {
  /** The next number. On disk before it is returned, so that it can never be given twice. */
  next(): Promise<number>
  /** Someone holds a document of ours with this number: later ones must be above it. */
  raise(seen: number): void
  readonly last: number
}

/**
 * A sequence number is the time in milliseconds, or one above the last when the clock has not moved past it. Without a
 * data directory the time alone carries it over a restart. A disk that fails is no reason to fall silent: it is logged,
 * and the time carries on.
 */
export async function openSequence(clock: Clock, logger: Logger, dataDir?: string): Promise<Sequence> {
  const path = dataDir === undefined ? undefined : join(dataDir, fileName)
  let last = path === undefined ? 0 : await readLast(path, logger)
  return {
    next: async () => {
      last = Math.max(last + 1, clock.now())
      const reserved = last
      if (path !== undefined) {
        await writeFileAtomic(path, `${reserved}\n`, 0o600).catch((error) => {
          logger.warn({ path, code: errorCode(error) }, 'the manifest sequence could not be stored')
        })
      }
      return reserved
    },
    raise: (seen) => {
      if (seen > last && seen < Number.MAX_SAFE_INTEGER) last = seen
    },
    get last() {
      return last
    },
  }
}

async function readLast(path: string, logger: Logger): Promise<number> {
  try {
    const value = Number((await readFile(path, 'utf8')).trim() || Number.NaN)
    if (Number.isSafeInteger(value) && value >= 0 && value < maxStored) return value
    logger.warn({ path }, 'the stored manifest sequence is not one; going on from the time')
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') {
      logger.warn({ path, code: errorCode(error) }, 'the manifest sequence could not be read; going on from the time')
    }
  }
  return 0
}
