import type { PeerId, PeerInfo } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { Libp2p } from 'libp2p'
import { type Clock, compareBytes, errorCode, errorMessage, withTimeout } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import { createAddressBook, type KnownPeer, maxAddressesPerPeer, maxKnownPeers } from './address-book.ts'
import type { PeerEvent } from './index.ts'
import type { Membership } from './membership.ts'

/** The first redial comes after about this long: a peer that restarts is back within a second or two. */
const firstDelayMs = 250
/** A bootstrap peer, and any peer seen lately, is asked at least so often. */
const maxDelayMs = 15_000
/** A peer that did not answer so many times in a row (about 3 minutes) is asked rarely, and one never seen not again. */
const patientFailures = 16
const rareDelayMs = 120_000
/** Discovered peers get fewer chances: the DHT remembers many that are gone. */
const strangerFailures = 4
/** A peer not seen for so long is forgotten. */
const forgetMs = 14 * 24 * 3_600_000
const dialTimeoutMs = 10_000
const maxParallelDials = 8
/** With too few connections, peers that were passed over are tried again so often. */
const sweepMs = 5_000
const staggerMs = 20
/** Of two peers that learn of each other, the one with the greater id waits so long, or they would connect twice. */
const courtesyMs = 500

interface Entry {
  readonly id: PeerId
  readonly bootstrap: boolean
  addresses: readonly string[]
  /** 0 for one that was discovered and never connected. */
  lastSeenMs: number
  failures: number
  dialling: boolean
  callOff: (() => void) | undefined
}

/** Finds peers again: those of the bootstrap list for ever, those seen before and those discovered up to a target count. */
export interface Reconnector {
  start(): Promise<void>
  stop(): Promise<void>
}

export function createReconnector(
  components: {
    readonly libp2p: Libp2p
    readonly membership: Membership
    readonly clock: Clock
    readonly logger: Logger
    readonly random?: () => number
  },
  init: {
    readonly meshId: string
    /** Multiaddrs, each with its `/p2p/`. */
    readonly bootstrap: readonly string[]
    readonly targetPeers: number
    readonly dataDir: string | undefined
  },
): Reconnector {
  const { libp2p, membership, clock, logger, random = Math.random } = components
  const { bootstrap, targetPeers } = init
  const entries = new Map<string, Entry>()
  const book = createAddressBook(components, { dataDir: init.dataDir, meshId: init.meshId, snapshot: knownPeers })
  const selfBytes = libp2p.peerId.toMultihash().bytes
  let stopping = new AbortController()
  let dialling = 0
  let saidUnreachable = false
  let callOffSweep: (() => void) | undefined
  let stopListening: (() => void) | undefined

  function knownPeers(): KnownPeer[] {
    return [...entries.values()]
      .filter((entry) => entry.lastSeenMs > 0)
      .map(({ id, addresses, lastSeenMs }) => ({ id: id.toString(), addresses, lastSeenMs }))
  }
  const connected = (id: PeerId): boolean => libp2p.getConnections(id).length > 0
  const enough = (): boolean => membership.members().length >= targetPeers

  const remember = (id: PeerId, addresses: readonly string[], options: Partial<Entry> = {}): Entry | undefined => {
    const name = id.toString()
    if (name === libp2p.peerId.toString() || membership.isStranger(name)) return undefined
    let entry = entries.get(name)
    if (entry === undefined) {
      makeRoom()
      entry = {
        id,
        bootstrap: false,
        addresses: [],
        lastSeenMs: 0,
        failures: 0,
        dialling: false,
        callOff: undefined,
        ...options,
      }
      entries.set(name, entry)
    }
    if (addresses.length > 0) {
      entry.addresses = [...new Set([...addresses, ...entry.addresses])].slice(0, maxAddressesPerPeer)
    }
    return entry
  }
  const makeRoom = (): void => {
    if (entries.size < 2 * maxKnownPeers) return
    const oldest = [...entries.entries()]
      .filter(([, entry]) => !entry.bootstrap && !entry.dialling && !connected(entry.id))
      .sort((a, b) => a[1].lastSeenMs - b[1].lastSeenMs)[0]
    if (oldest !== undefined) forget(oldest[0], oldest[1])
  }
  const forget = (name: string, entry: Entry): void => {
    entry.callOff?.()
    entries.delete(name)
  }

  /** Jitter keeps a mesh that lost one peer from dialling it all at the same instant. */
  const delayMs = (entry: Entry): number => {
    const longest = !entry.bootstrap && entry.failures > patientFailures ? rareDelayMs : maxDelayMs
    return Math.min(longest, firstDelayMs * 2 ** Math.min(entry.failures, 12)) * (0.5 + random())
  }
  const courtesy = (entry: Entry): number => {
    const waits = !entry.bootstrap && compareBytes(selfBytes, entry.id.toMultihash().bytes) > 0
    return waits ? courtesyMs : 0
  }
  const schedule = (entry: Entry, afterMs: number): void => {
    entry.callOff?.()
    entry.callOff = clock.after(afterMs, () => {
      entry.callOff = undefined
      void attempt(entry)
    })
  }

  const attempt = async (entry: Entry): Promise<void> => {
    if (stopping.signal.aborted || entry.dialling || connected(entry.id)) return
    if (!entry.bootstrap && enough()) return
    // A peer that listens nowhere has to come by itself; asking the DHT for it each time would wear the mesh out.
    if (entry.addresses.length === 0) return
    if (dialling >= maxParallelDials) {
      schedule(entry, firstDelayMs * (0.5 + random()))
      return
    }
    entry.dialling = true
    dialling++
    try {
      await libp2p.peerStore.merge(entry.id, { multiaddrs: entry.addresses.map((address) => multiaddr(address)) })
      const signal = withTimeout(dialTimeoutMs, stopping.signal)
      await libp2p.dial(entry.id, { signal })
      await membership.confirmed(entry.id, signal)
    } catch (error) {
      if (!stopping.signal.aborted) onFailure(entry, error)
    } finally {
      entry.dialling = false
      dialling--
    }
  }
  const onFailure = (entry: Entry, error: unknown): void => {
    const name = entry.id.toString()
    entry.failures++
    logger.debug(
      { peer: name, failures: entry.failures, code: errorCode(error), error: errorMessage(error) },
      'no answer',
    )
    if (connected(entry.id)) return
    sayUnreachable()
    const old = clock.now() - entry.lastSeenMs > forgetMs
    const hopeless = membership.isStranger(name) || (old && entry.failures >= strangerFailures)
    if (hopeless && !entry.bootstrap) forget(name, entry)
    else schedule(entry, delayMs(entry))
  }
  /** Being the first of a mesh is no error, but whoever mistyped an address should learn of it. */
  const sayUnreachable = (): void => {
    const first = [...entries.values()].filter((entry) => entry.bootstrap)
    if (saidUnreachable || first.length === 0 || first.some((entry) => entry.failures === 0)) return
    saidUnreachable = true
    const addresses = first.flatMap((entry) => entry.addresses)
    logger.warn({ code: 'bootstrap_unreachable', addresses }, 'no bootstrap peer answers yet; trying on')
  }

  const onPeer = ({ type, peer }: PeerEvent): void => {
    const entry = remember(peer, [])
    if (entry === undefined) return
    if (type === 'disconnected') {
      entry.lastSeenMs = clock.now()
      schedule(entry, delayMs(entry) + courtesy(entry))
      book.changed()
      return
    }
    entry.failures = 0
    entry.lastSeenMs = clock.now()
    entry.callOff?.()
    entry.callOff = undefined
    if (saidUnreachable && entry.bootstrap) logger.info({ peer: peer.toString() }, 'a bootstrap peer answers now')
    saidUnreachable = saidUnreachable && !entry.bootstrap
    void learnAddresses(entry)
  }
  /** What identify told of the peer: where it listens, not the port that it happened to dial from. */
  const learnAddresses = async (entry: Entry): Promise<void> => {
    try {
      const { addresses } = await libp2p.peerStore.get(entry.id)
      const listening = addresses.filter((address) => address.isCertified || addresses.length === 1)
      remember(
        entry.id,
        (listening.length > 0 ? listening : addresses).map((address) => bare(address.multiaddr)),
      )
    } catch (error) {
      logger.debug({ peer: entry.id.toString(), error: errorMessage(error) }, 'no addresses of a peer')
    }
    book.changed()
  }
  const onDiscovery = ({ detail }: CustomEvent<PeerInfo>): void => {
    if (detail.multiaddrs.length === 0 || connected(detail.id)) return
    const entry = remember(detail.id, detail.multiaddrs.map(bare))
    if (entry !== undefined && entry.callOff === undefined) schedule(entry, firstDelayMs * random() + courtesy(entry))
  }
  const sweep = (): void => {
    callOffSweep = clock.after(sweepMs * (0.5 + random()), sweep)
    if (enough()) return
    for (const entry of entries.values()) {
      if (entry.callOff === undefined && !entry.dialling && !connected(entry.id)) schedule(entry, delayMs(entry))
    }
  }

  return {
    start: async () => {
      stopping = new AbortController()
      for (const address of bootstrap) {
        const id = peerIdOfAddress(multiaddr(address))
        if (id !== undefined) remember(id, [bare(multiaddr(address))], { bootstrap: true })
      }
      for (const peer of await book.load()) {
        const id = parsePeerId(peer.id)
        if (id !== undefined) remember(id, peer.addresses.filter(isMultiaddr), { lastSeenMs: peer.lastSeenMs })
      }
      const stopPeers = membership.events.on(onPeer)
      libp2p.addEventListener('peer:discovery', onDiscovery)
      stopListening = () => {
        stopPeers()
        libp2p.removeEventListener('peer:discovery', onDiscovery)
      }
      // The latest seen first, a little apart: their handshakes all want the same core.
      const order = [...entries.values()].sort((a, b) => b.lastSeenMs - a.lastSeenMs)
      for (const [index, entry] of order.entries()) schedule(entry, entry.bootstrap ? 0 : staggerMs * index)
      sweep()
    },
    stop: async () => {
      stopping.abort()
      stopListening?.()
      callOffSweep?.()
      const nowMs = clock.now()
      for (const entry of entries.values()) {
        entry.callOff?.()
        entry.callOff = undefined
        if (membership.isMember(entry.id)) entry.lastSeenMs = nowMs
      }
      await book.flush()
    },
  }
}

/**
 * Without the trailing `/p2p/` of the peer itself, which is kept beside it. Cut as text: an address from the DHT may have
 * a host name with a slash in it, which no parser takes a second time, and nobody would catch what that throws.
 */
export function bare(address: Multiaddr): string {
  const text = address.toString()
  const parts = address.getComponents()
  const last = parts.at(-1)
  if (last?.name !== 'p2p' || parts.at(-2)?.name === 'p2p-circuit') return text
  const own = `/p2p/${last.value}`
  return text.endsWith(own) ? text.slice(0, -own.length) : text
}

function peerIdOfAddress(address: Multiaddr): PeerId | undefined {
  return parsePeerId(address.getComponents().at(-1)?.value ?? '')
}

function parsePeerId(text: string): PeerId | undefined {
  try {
    return peerIdFromString(text)
  } catch {
    return undefined
  }
}

function isMultiaddr(text: string): boolean {
  try {
    multiaddr(text)
    return true
  } catch {
    return false
  }
}
