import type { Connection, IdentifyResult, PeerId } from '@libp2p/interface'
import type { Libp2p } from 'libp2p'
import { abortable, type Clock, createEmitter, type Emitter, errorMessage, OwmError } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import type { PeerEvent } from './index.ts'

/** A connection that has not said which mesh it is of by then is closed; identify itself gives up after 5 s. */
const identifyGraceMs = 20_000
/** A peer of another mesh is not dialled again for so long; it may have changed its mind by then. */
const strangerMs = 600_000
const maxStrangers = 1_024

/** The protocol whose presence says "I am of this mesh". Nobody opens a stream of it. */
export function membershipProtocol(meshId: string): string {
  return `/owm/${meshId}/mesh/1.0.0`
}

/** Who of the connected is in this mesh. Whoever is not is hung up on: meshes never mix. */
export interface Membership {
  readonly events: Emitter<PeerEvent>
  isMember(peer: PeerId): boolean
  isStranger(peer: string): boolean
  members(): PeerId[]
  /** Resolves once a connected peer has proved to be of this mesh. @throws OwmError `wrong_mesh`, `unreachable` */
  confirmed(peer: PeerId, signal: AbortSignal): Promise<void>
  start(): Promise<void>
  stop(): void
}

export function createMembership(components: {
  readonly libp2p: Libp2p
  readonly meshId: string
  readonly clock: Clock
  readonly logger: Logger
}): Membership {
  const { libp2p, meshId, clock, logger } = components
  const protocol = membershipProtocol(meshId)
  const events = createEmitter<PeerEvent>((error) =>
    logger.error({ error: errorMessage(error) }, 'a listener for peers threw'),
  )
  const members = new Map<string, PeerId>()
  const strangers = new Map<string, number>()
  /** Those who wait for a peer's identify. */
  const waiting = new Map<string, Set<(error?: OwmError) => void>>()

  const settle = (peer: string, error?: OwmError): void => {
    for (const wake of waiting.get(peer) ?? []) wake(error)
    waiting.delete(peer)
  }
  const wrongMesh = (peer: string): OwmError =>
    new OwmError('wrong_mesh', `The peer ${peer} belongs to another mesh.`, { peer, mesh: meshId })

  const onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => {
    const { peerId, protocols } = detail
    const peer = peerId.toString()
    if (protocols.includes(protocol)) {
      strangers.delete(peer)
      if (!members.has(peer) && libp2p.getConnections(peerId).length > 0) {
        members.set(peer, peerId)
        events.emit({ type: 'connected', peer: peerId })
      }
      settle(peer)
      return
    }
    if (!strangers.has(peer)) {
      const address = detail.connection.remoteAddr.toString()
      logger.info({ code: 'wrong_mesh', peer, address }, 'a peer of another mesh was hung up on')
    }
    strangers.delete(peer)
    strangers.set(peer, clock.now() + strangerMs)
    for (const oldest of strangers.size > maxStrangers ? strangers.keys() : []) {
      strangers.delete(oldest)
      break
    }
    settle(peer, wrongMesh(peer))
    hangUp(peerId)
  }
  const hangUp = (peer: PeerId): void => {
    libp2p.hangUp(peer).catch((error: unknown) => {
      logger.debug({ peer: peer.toString(), error: errorMessage(error) }, 'a connection did not close cleanly')
    })
  }
  const onOpen = ({ detail }: CustomEvent<Connection>): void => {
    const callOff = clock.after(identifyGraceMs, () => {
      if (detail.status === 'open' && !members.has(detail.remotePeer.toString())) {
        logger.debug({ peer: detail.remotePeer.toString() }, 'a peer did not say which mesh it is of')
        hangUp(detail.remotePeer)
      }
    })
    detail.addEventListener('close', callOff, { once: true })
  }
  const onDisconnect = ({ detail: peer }: CustomEvent<PeerId>): void => {
    const name = peer.toString()
    settle(name, new OwmError('unreachable', `The connection to ${name} closed.`, { peer: name }))
    if (members.delete(name)) events.emit({ type: 'disconnected', peer })
  }

  return {
    events,
    isMember: (peer) => members.has(peer.toString()),
    isStranger: (peer) => (strangers.get(peer) ?? 0) > clock.now(),
    members: () => [...members.values()],
    confirmed: async (peer, signal) => {
      const name = peer.toString()
      if (members.has(name)) return
      if (libp2p.getConnections(peer).length === 0) {
        throw (strangers.get(name) ?? 0) > clock.now()
          ? wrongMesh(name)
          : new OwmError('unreachable', `The connection to ${name} closed.`, { peer: name })
      }
      const wakers = waiting.get(name) ?? new Set()
      waiting.set(name, wakers)
      let wake: ((error?: OwmError) => void) | undefined
      const identified = new Promise<void>((resolve, reject) => {
        wake = (error) => (error === undefined ? resolve() : reject(error))
        wakers.add(wake)
      })
      try {
        await abortable(identified, signal)
      } finally {
        if (wake !== undefined) wakers.delete(wake)
      }
    },
    start: async () => {
      await libp2p.handle(protocol, (stream) => stream.abort(new Error('this protocol has no streams')))
      libp2p.addEventListener('peer:identify', onIdentify)
      libp2p.addEventListener('connection:open', onOpen)
      libp2p.addEventListener('peer:disconnect', onDisconnect)
    },
    stop: () => {
      libp2p.removeEventListener('peer:identify', onIdentify)
      libp2p.removeEventListener('connection:open', onOpen)
      libp2p.removeEventListener('peer:disconnect', onDisconnect)
      for (const peer of [...waiting.keys()]) settle(peer, new OwmError('stopped', 'The network stops.'))
      members.clear()
    },
  }
}
