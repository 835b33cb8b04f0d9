import type { PeerId } from '@libp2p/interface'
import { maxClockSkewMs, maxTtlMs } from './document.ts'
import { createExpiryQueue, type Expiry } from './expiry-queue.ts'
import type { ManifestBody, ManifestEvent, ManifestView } from './index.ts'

/** Room for the 10,000 peers of PERF-04 with some to spare; about 50 MB when full of usual manifests. */
export const defaultMaxPeers = 16_384
/** Sequences of peers that left are kept so long that nothing signed before can still be unexpired. */
const rememberMs = maxTtlMs + 2 * maxClockSkewMs
/** How many of them; the one that left first is forgotten first. About 10 MB. */
const maxRemembered = 65_536

/** An author may announce every two seconds on average, and so many times in a row. Ours does so at half that rate. */
const authorIntervalMs = 2000
const authorBurst = 5

/** A manifest whose signature holds. `author` is the public key in hex. */
export interface Verified {
  readonly author: string
  readonly peer: PeerId
  readonly document: Uint8Array
  readonly sequence: number
  readonly issuedMs: number
  readonly expiresMs: number
  /** Null in a farewell. */
  readonly body: ManifestBody | null
}

export interface Known {
  readonly sequence: number
  /** Absent once the peer has left. */
  readonly document?: Uint8Array
  /** Until then the author's manifests are ignored: it has spent its rate. */
  readonly quietUntilMs: number
}

export type Admission = 'joined' | 'updated' | 'left' | 'unknown' | 'stale' | 'full'

export interface LiveView {
  known(author: string): Known | undefined
  get(author: string, nowMs: number): Entry | undefined
  entries(nowMs: number): IterableIterator<Entry>
  readonly size: number
  /** Takes in a verified manifest. The author's rate is not asked here, only charged. */
  admit(manifest: Verified, nowMs: number): Admission
  /** Removes what has expired. */
  expire(nowMs: number): void
}

export interface Entry {
  readonly view: ManifestView
  readonly document: Uint8Array
}

interface Live extends Entry {
  /** Generic cell rate algorithm (ITU-T I.371): when the next manifest would be exactly on time. */
  readonly dueMs: number
}
interface Departed {
  readonly sequence: number
  readonly dueMs: number
  readonly forgetMs: number
}

/**
 * The bounded view of who lives. When it is full, the peer that would expire first makes room, unless it is protected;
 * a newcomer that would itself expire first, and is not protected, stays out.
 */
export function createLiveView(init: {
  readonly maxPeers: number
  /** Peers that strangers cannot push out: oneself and those one is connected to. */
  isProtected(peer: PeerId): boolean
  onEvent(event: ManifestEvent): void
}): LiveView {
  const live = new Map<string, Live>()
  const departed = new Map<string, Departed>()
  const isCurrent = (expiry: Expiry): boolean => live.get(expiry.author)?.view.expiresMs === expiry.expiresMs
  const queue = createExpiryQueue(isCurrent, () => live.size)

  const remove = (author: string, sequence: number, dueMs: number, nowMs: number): void => {
    const entry = live.get(author)
    live.delete(author)
    departed.delete(author)
    departed.set(author, { sequence, dueMs, forgetMs: nowMs + rememberMs })
    for (const [oldest, { forgetMs }] of departed) {
      if (departed.size <= maxRemembered && forgetMs > nowMs) break
      departed.delete(oldest)
    }
    if (entry !== undefined) init.onEvent({ type: 'left', peer: entry.view.peer })
  }

  const retire = (author: string, nowMs: number): void => {
    const entry = live.get(author)
    if (entry !== undefined) remove(author, entry.view.sequence, entry.dueMs, nowMs)
  }

  /** False when the newcomer is the one that has to stay out. */
  const makeRoom = (newcomer: Verified, nowMs: number): boolean => {
    const passedOver: Expiry[] = []
    let victim: Expiry | undefined
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      const entry = live.get(next.author)
      if (entry !== undefined && !init.isProtected(entry.view.peer)) {
        victim = next
        break
      }
      passedOver.push(next)
    }
    for (const expiry of passedOver) queue.push(expiry.author, expiry.expiresMs)
    if (victim === undefined) return false
    if (victim.expiresMs >= newcomer.expiresMs && !init.isProtected(newcomer.peer)) {
      queue.push(victim.author, victim.expiresMs)
      return false
    }
    retire(victim.author, nowMs)
    return true
  }

  return {
    known: (author) => {
      const entry = live.get(author)
      if (entry !== undefined) {
        const { document, dueMs, view } = entry
        return { sequence: view.sequence, document, quietUntilMs: quietUntil(dueMs) }
      }
      const gone = departed.get(author)
      return gone === undefined ? undefined : { sequence: gone.sequence, quietUntilMs: quietUntil(gone.dueMs) }
    },
    get: (author, nowMs) => {
      const entry = live.get(author)
      return entry !== undefined && entry.view.expiresMs > nowMs ? entry : undefined
    },
    *entries(nowMs) {
      for (const entry of live.values()) if (entry.view.expiresMs > nowMs) yield entry
    },
    get size() {
      return live.size
    },
    admit: (manifest, nowMs) => {
      const { author, peer, document, sequence, issuedMs, expiresMs, body } = manifest
      const before = live.get(author)
      const gone = departed.get(author)
      if (sequence <= (before?.view.sequence ?? gone?.sequence ?? 0)) return 'stale'
      const dueMs = Math.max(before?.dueMs ?? gone?.dueMs ?? 0, nowMs) + authorIntervalMs
      if (body === null) {
        // A farewell of someone unknown leaves no trace, so that invented ones cannot push out what is remembered.
        if (before === undefined && gone === undefined) return 'unknown'
        remove(author, sequence, dueMs, nowMs)
        return 'left'
      }
      if (before === undefined && live.size >= init.maxPeers && !makeRoom(manifest, nowMs)) return 'full'
      departed.delete(author)
      live.set(author, { view: { ...body, peer, sequence, issuedMs, expiresMs }, document, dueMs })
      queue.push(author, expiresMs)
      const type = before === undefined ? 'joined' : 'updated'
      init.onEvent({ type, peer })
      return type
    },
    expire: (nowMs) => {
      for (let next = queue.peek(); next !== undefined && next.expiresMs <= nowMs; next = queue.peek()) {
        queue.pop()
        retire(next.author, nowMs)
      }
      for (const [author, { forgetMs }] of departed) {
        if (forgetMs > nowMs) break
        departed.delete(author)
      }
    },
  }
}

function quietUntil(dueMs: number): number {
  return dueMs - (authorBurst - 1) * authorIntervalMs
}
