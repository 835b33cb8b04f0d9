import type { Connection, PeerId } from '@libp2p/interface'
import { errorMessage, OwmError, withTimeout } from '../lib/index.ts'
import { closestPeers } from './closest-peers.ts'
import { createExplorer } from './explore.ts'
import { createGossip } from './gossip.ts'
import { createHeartbeat } from './heartbeat.ts'
import { createHost } from './host.ts'
import type { ConnectedPeer, Network, NetworkComponents, NetworkInit, ProtocolSpec } from './index.ts'
import { createMembership } from './membership.ts'
import { checkPeerAddress } from './mesh.ts'
import { createReputation } from './peer-score.ts'
import { presets } from './presets.ts'
import { dialPatiently, reachError } from './reach.ts'
import { createReconnector } from './reconnect.ts'
import { createRelayClient } from './relay.ts'
import { encodeRequest, openEnvelope, requestOver } from './request-client.ts'
import { createRequestServer, maxInboundStreams, type RequestServer } from './request-server.ts'
import { createTraffic } from './traffic.ts'

/** Dialling, the handshakes and learning which mesh the other is of. */
const connectTimeoutMs = 20_000
/** From an empty stream on loopback to 16 MiB over a slow line. */
const requestBuckets = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60]

/**
 * Assembles the host of one mesh. Nothing is opened before `start`.
 *
 * @throws OwmError `bad_address`; `start` throws `port_in_use`, `listen_failed`
 */
export async function createNetwork(components: NetworkComponents, init: NetworkInit): Promise<Network> {
  const { identity, mesh, metrics, clock } = components
  const logger = components.logger.child({ room: 'network' })
  const bootstrap = [...new Set([...init.bootstrap, ...mesh.addresses])]
  bootstrap.forEach(checkPeerAddress)
  const preset = presets[init.preset]
  const stopping = new AbortController()
  const traffic = createTraffic(metrics)
  const reputation = createReputation(clock)
  const refused = metrics.counter('owm_network_wrong_swarm_key_total', 'Connections refused for want of the swarm key.')
  const peerCount = metrics.gauge('owm_network_peers', 'Connected peers of this mesh.')
  const requests = metrics.histogram(
    'owm_network_request_seconds',
    'Requests, from first to last byte.',
    requestBuckets,
    ['protocol', 'side', 'outcome'],
  )

  const { swarmKey } = mesh
  const protector =
    swarmKey === null
      ? undefined
      : (await import('./swarm-key.ts')).swarmKeyProtector({
          meshId: mesh.id,
          swarmKey,
          logger,
          clock,
          onRefused: () => refused.add(),
        })
  const { libp2p, transports } = await createHost(
    { ...components, logger, traffic, reputation, protector },
    { ...init, bootstrap },
  )
  const membership = createMembership({ libp2p, meshId: mesh.id, clock, logger })
  const heartbeat = createHeartbeat({ libp2p, membership, clock, logger }, { intervalMs: preset.pingIntervalMs })
  const gossip = createGossip({ pubsub: libp2p.services.pubsub, clock, logger, metrics })
  const reconnector = createReconnector(
    { libp2p, membership, clock, logger },
    { meshId: mesh.id, bootstrap, targetPeers: preset.targetPeers, dataDir: init.dataDir },
  )
  const explorer = createExplorer({ libp2p, membership, clock, logger }, { targetPeers: preset.targetPeers })
  // Who relays for others, or has told where to be found, needs no relay.
  const relays =
    init.relay.client && !init.relay.server && init.announce.length === 0
      ? createRelayClient({ libp2p, transports, membership, clock, logger })
      : undefined
  const servers = new Map<string, RequestServer>()
  let state: 'new' | 'started' | 'stopped' = 'new'
  let starting: Promise<void> | undefined
  let stopped: Promise<void> | undefined

  const protocolOf = (spec: { readonly name: string; readonly version: string }): string =>
    `/owm/${mesh.id}/${spec.name}/${spec.version}`

  const observe = (spec: { readonly name: string }, side: 'client' | 'server') => (outcome: string, ms: number) =>
    requests.observe(ms / 1000, { protocol: spec.name, side, outcome })

  /** A peer can be connected more than once, also by itself and through a relay: the best connection stands for it. */
  const best = (peer: PeerId): Connection | undefined =>
    libp2p
      .getConnections(peer)
      .toSorted((a, b) => Number(isRelayed(a)) - Number(isRelayed(b)) || a.timeline.open - b.timeline.open)[0]

  const start = async (signal?: AbortSignal): Promise<void> => {
    signal?.throwIfAborted()
    membership.events.on(() => peerCount.set(membership.members().length))
    await membership.start()
    heartbeat.start()
    relays?.start()
    explorer.start()
    try {
      await libp2p.start()
    } catch (error) {
      throw listenError(error)
    }
    gossip.start()
    await reconnector.start()
  }
  const stop = async (): Promise<void> => {
    stopping.abort(new OwmError('stopped', 'The network stops.'))
    if (state === 'new') return
    await starting?.catch(() => undefined)
    await reconnector.stop()
    heartbeat.stop()
    relays?.stop()
    explorer.stop()
    gossip.stop()
    await libp2p.stop()
    membership.stop()
  }

  return {
    self: identity.peerId,
    meshId: mesh.id,
    libp2p,
    start: (signal) => {
      if (state === 'stopped') return Promise.reject(new OwmError('stopped', 'A stopped network does not start again.'))
      state = 'started'
      starting ??= start(signal)
      return starting
    },
    stop: () => {
      stopped ??= stop()
      state = 'stopped'
      return stopped
    },
    addresses: () => libp2p.getMultiaddrs(),
    peers: () =>
      membership.members().flatMap((peer): ConnectedPeer[] => {
        const connection = best(peer)
        if (connection === undefined) return []
        return [
          {
            id: peer,
            address: connection.remoteAddr,
            direction: connection.direction,
            relayed: isRelayed(connection),
            latencyMs: heartbeat.latencyMs(peer),
            connectedSinceMs: connection.timeline.open,
          },
        ]
      }),
    isConnected: (peer) => membership.isMember(peer),
    onPeer: (listener) => membership.events.on(listener),
    connect: async (target, options = {}) => {
      const signal = withTimeout(connectTimeoutMs, options.signal, stopping.signal)
      try {
        const connection = await dialPatiently(libp2p, target, signal)
        await membership.confirmed(connection.remotePeer, signal)
        return connection.remotePeer
      } catch (error) {
        throw reachError(error, target.toString(), options.signal)
      }
    },
    gossip: (spec) => gossip.topic(protocolOf(spec), spec),
    handle: (spec, handler) => {
      const protocol = protocolOf(spec)
      if (servers.has(protocol)) throw new OwmError('protocol_taken', `${protocol} is answered already.`)
      const server = createRequestServer(
        { clock, logger, stop: stopping.signal, penalise: reputation.penalise, onOutcome: observe(spec, 'server') },
        spec,
        handler,
      )
      servers.set(protocol, server)
      libp2p
        .handle(protocol, (stream, connection) => void server.serve(stream, connection), {
          maxInboundStreams,
          maxOutboundStreams: maxInboundStreams,
          runOnLimitedConnection: true,
        })
        .catch((error: unknown) => logger.error({ protocol, error: errorMessage(error) }, 'a protocol is not answered'))
    },
    request: async (peer, spec, request, options = {}) => {
      const startedMs = performance.now()
      const done = observe(spec, 'client')
      try {
        const signals = { caller: options.signal, stop: stopping.signal }
        const response = peer.equals(identity.peerId)
          ? await requestSelf(spec, request, signals)
          : await requestOver(libp2p, protocolOf(spec), peer, spec, request, signals)
        done('ok', performance.now() - startedMs)
        return response
      } catch (error) {
        done(error instanceof OwmError ? error.code : 'aborted', performance.now() - startedMs)
        throw error
      }
    },
    closestPeers: (key, count, options) =>
      closestPeers({ libp2p, membership, logger, stop: stopping.signal }, key, count, options),
    traffic: traffic.read,
  }

  /** A peer that is asked by itself gives the same answer, without a stream. */
  async function requestSelf<Request, Response>(
    spec: ProtocolSpec<Request, Response>,
    request: Request,
    signals: { readonly caller: AbortSignal | undefined; readonly stop: AbortSignal },
  ): Promise<Response> {
    const self = identity.peerId.toString()
    const server = servers.get(protocolOf(spec))
    if (server === undefined)
      throw new OwmError('unsupported', `This peer does not answer ${spec.name}.`, { peer: self })
    const signal = withTimeout(spec.timeoutMs, signals.caller, signals.stop)
    signal.throwIfAborted()
    const envelope = await server.answer(encodeRequest(spec, request), { from: identity.peerId, signal })
    signals.caller?.throwIfAborted()
    return openEnvelope(spec, envelope, self)
  }
}

function isRelayed(connection: Connection): boolean {
  return connection.remoteAddr.getComponents().some((part) => part.name === 'p2p-circuit')
}

/** libp2p lists the addresses that it could not listen on, each with Node's words; a person wants one sentence. */
function listenError(error: unknown): unknown {
  const message = errorMessage(error)
  const taken = /EADDRINUSE[^\n]*?([0-9a-f.:]+):(\d+)/i.exec(message)
  if (taken !== null) {
    const [, host, port] = taken
    return new OwmError('port_in_use', `Port ${port} on ${host} is taken; listen on another, or on port 0.`, {
      host,
      port: Number(port),
    })
  }
  const system = /\b(EADDRNOTAVAIL|EACCES|EPERM|EAFNOSUPPORT)\b/.exec(message)
  if (system !== null || (error instanceof Error && error.name === 'UnsupportedListenAddressesError')) {
    const lines = message.split('\n').map((line) => line.trim())
    const what = lines.filter((line) => line.startsWith('/')).join('; ') || message
    return new OwmError('listen_failed', `Cannot listen: ${what}`, { reason: system?.[1] ?? 'unsupported' }, error)
  }
  return error
}
