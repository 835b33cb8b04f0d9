import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { type Clock, errorCode, errorMessage, writeFileAtomic } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'

/** A peer that was connected once and may be found again at the same addresses. */
export interface KnownPeer {
  readonly id: string
  readonly addresses: readonly string[]
  readonly lastSeenMs: number
}

/** The most recently seen are kept. */
export const maxKnownPeers = 256
export const maxAddressesPerPeer = 8
/** Changes are gathered for so long before they are written; a crash loses no more. */
const writeDelayMs = 2_000
const maxAddressLength = 512

const fileSchema = z.object({
  v: z.literal(1),
  peers: z
    .array(
      z.object({
        id: z.string().max(128),
        addresses: z.array(z.string().max(maxAddressLength)).max(maxAddressesPerPeer),
        lastSeenMs: z.number(),
      }),
    )
    .max(maxKnownPeers),
})

/** `<data directory>/peers/<mesh id>.json`: how a peer finds its mesh again with every bootstrap peer gone. */
export interface AddressBook {
  load(): Promise<readonly KnownPeer[]>
  /** `snapshot` is called when it is time to write. */
  changed(): void
  flush(): Promise<void>
}

export function createAddressBook(
  components: { readonly clock: Clock; readonly logger: Logger },
  init: {
    readonly dataDir: string | undefined
    readonly meshId: string
    readonly snapshot: () => readonly KnownPeer[]
  },
): AddressBook {
  const { clock, logger } = components
  const path = init.dataDir === undefined ? undefined : join(init.dataDir, 'peers', `${init.meshId}.json`)
  let callOff: (() => void) | undefined
  let writing: Promise<void> = Promise.resolve()
  let complained = false

  const write = async (): Promise<void> => {
    if (path === undefined) return
    const peers = [...init.snapshot()].sort((a, b) => b.lastSeenMs - a.lastSeenMs).slice(0, maxKnownPeers)
    try {
      await writeFileAtomic(path, `${JSON.stringify({ v: 1, peers })}\n`, 0o600)
      complained = false
    } catch (error) {
      // Without the file the peer still works; it says so once, not with each change.
      if (!complained) {
        logger.warn({ path, code: errorCode(error), error: errorMessage(error) }, 'known peers cannot be saved')
      }
      complained = true
    }
  }
  return {
    load: async () => {
      if (path === undefined) return []
      try {
        return fileSchema.parse(JSON.parse(await readFile(path, 'utf8'))).peers
      } catch (error) {
        if (errorCode(error) !== 'ENOENT') logger.warn({ path }, 'the list of known peers is damaged; it is made anew')
        return []
      }
    },
    changed: () => {
      callOff ??= clock.after(writeDelayMs, () => {
        callOff = undefined
        writing = writing.then(write)
      })
    },
    flush: async () => {
      if (callOff !== undefined) {
        callOff()
        callOff = undefined
        writing = writing.then(write)
      }
      await writing
    },
  }
}
