import { type GossipSub, gossipsub } from '@libp2p/gossipsub'
import { type Identify, type IdentifyPush, identify, identifyPush } from '@libp2p/identify'
import type { ConnectionProtector } from '@libp2p/interface'
import { type KadDHT, kadDHT, passthroughMapper, removePrivateAddressesMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { type Ping, ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p, type Libp2pOptions, type ServiceFactoryMap } from 'libp2p'
import type { Clock } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import { maxRpcBytes } from './gossip.ts'
import type { NetworkComponents, NetworkInit } from './index.ts'
import { type Reputation, scoreParams } from './peer-score.ts'
import { type PresetValues, presets } from './presets.ts'
import type { TransportManager } from './relay.ts'
import type { Traffic } from './traffic.ts'

/** Kademlia's alpha. libp2p's default of 10 asks nearly all of a small mesh, each time. */
const parallelLookups = 3
/** A stream may have so much under way; above its read buffer of 4 MiB a paused one would be reset. */
const maxStreamWindowBytes = 4 * 1024 * 1024
/** What may wait for a peer that reads its gossip slowly; beyond, its stream is reset and made anew. */
const maxGossipBacklogBytes = 16 * 1024 * 1024
/** About 60 topics per peer; a mesh has a handful. */
const maxTopicBytesPerPeer = 64 * 1024
const maxParallelDials = 16
const dialTimeoutMs = 10_000
const addressDialTimeoutMs = 5_000
/** Per connection. The DHT pings beside the heartbeat; at libp2p's limit of one at a time, one of the two would fail. */
const maxPings = 8
/** A newcomer asks at once; asking again finds those who started at the same moment. All answer each question. */
const mdnsIntervalMs = 10_000
const gossipLimits = {
  maxSubscriptions: 128,
  maxMessages: 5_000,
  maxIhaveMessageIDs: 5_000,
  maxIwantMessageIDs: 5_000,
  maxIdontwantMessageIDs: 512,
  maxControlMessages: 512,
  maxPeerInfos: 16,
}

type Services = {
  identify: Identify
  identifyPush: IdentifyPush
  ping: Ping
  dht: KadDHT
  pubsub: GossipSub
  parts: unknown
  relay?: unknown
  dcutr?: unknown
  autoNat?: unknown
}
type Factories<Name extends keyof Services> = Pick<ServiceFactoryMap<Services>, Name>

/**
 * One libp2p host of one mesh, not yet started. What is not switched on is not even loaded: an idle peer pays for the
 * modules that it uses, in memory and in start-up time.
 */
export async function createHost(
  components: Pick<NetworkComponents, 'identity' | 'mesh' | 'datastore'> & {
    readonly traffic: Traffic
    readonly reputation: Reputation
    readonly protector: (() => ConnectionProtector) | undefined
    readonly clock: Clock
    readonly logger: Logger
  },
  init: NetworkInit,
) {
  const { identity, mesh, datastore, traffic, reputation, protector } = components
  const preset = presets[init.preset]
  let transportManager: TransportManager | undefined
  const libp2p = await createLibp2p<Services>({
    privateKey: identity.privateKey,
    nodeInfo: { name: 'owm', userAgent: 'owm' },
    start: false,
    addresses: { listen: [...init.listen], appendAnnounce: [...init.announce] },
    transports: await transports(init),
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: maxStreamWindowBytes } })],
    peerDiscovery: await discovery(init, mesh.id),
    metrics: traffic.component,
    connectionManager: {
      maxConnections: init.maxConnections,
      maxParallelDials,
      dialTimeout: dialTimeoutMs,
      addressDialTimeout: addressDialTimeoutMs,
      inboundConnectionThreshold: preset.inboundPerSecond,
      maxIncomingPendingConnections: preset.pendingInbound,
      // The reconnector does this, with a back-off that heals within seconds.
      reconnectRetries: 0,
    },
    // The heartbeat does this, one peer at a time.
    connectionMonitor: { enabled: false },
    services: {
      identify: identify(),
      identifyPush: identifyPush(),
      ping: ping({ maxInboundStreams: maxPings, maxOutboundStreams: maxPings }),
      dht: kadDHT({
        protocol: `/owm/${mesh.id}/kad/1.0.0`,
        peerInfoMapper: preset.privateAddresses ? passthroughMapper : removePrivateAddressesMapper,
        ...(preset.privateAddresses || init.role === 'bootstrap' ? { clientMode: false } : {}),
        allowQueryWithZeroPeers: !preset.waitForDhtPeers,
        alpha: parallelLookups,
        disjointPaths: parallelLookups,
      }),
      // Helia and OrbitDB look for it under this name.
      pubsub: gossipsub({
        globalSignaturePolicy: 'StrictSign',
        fallbackToFloodsub: false,
        allowPublishToZeroTopicPeers: true,
        emitSelf: false,
        runOnLimitedConnection: true,
        // A duplicate is known by author and sequence number, without verifying its signature again.
        fastMsgIdFn: (message) =>
          Buffer.concat([message.from ?? new Uint8Array(), message.seqno ?? new Uint8Array()]).toString('latin1'),
        maxInboundDataLength: maxRpcBytes,
        maxOutboundBufferSize: maxGossipBacklogBytes,
        maxTopicBytesPerPeer,
        decodeRpcLimits: gossipLimits,
        scoreParams: scoreParams(preset, reputation),
      }),
      // Services alone are handed libp2p's parts; this one only notes the part that relays need.
      parts: (parts: { readonly transportManager: TransportManager }) => {
        transportManager = parts.transportManager
        return {}
      },
      ...(await relayServer(init, preset)),
      ...(await natServices(init, preset)),
    },
    ...(protector === undefined ? {} : { connectionProtector: protector }),
    ...(datastore === undefined ? {} : { datastore }),
  })
  if (transportManager === undefined) throw new Error('libp2p made no transport manager')
  return { libp2p, transports: transportManager }
}

type TransportFactory = NonNullable<Libp2pOptions['transports']>[number]
type DiscoveryFactory = NonNullable<Libp2pOptions['peerDiscovery']>[number]

async function transports(init: NetworkInit): Promise<TransportFactory[]> {
  const made: TransportFactory[] = [tcp()]
  const addresses = [...init.listen, ...init.bootstrap, ...init.announce]
  // On the public network anyone may be behind a WebSocket; elsewhere one's own addresses tell.
  if (init.preset === 'public' || addresses.some((address) => /\/wss?(\/|$)/.test(address))) {
    const { webSockets } = await import('@libp2p/websockets')
    made.push(webSockets())
  }
  if (init.relay.client || init.relay.server) {
    const { circuitRelayTransport } = await import('@libp2p/circuit-relay-v2')
    made.push(circuitRelayTransport())
  }
  return made
}

async function discovery(init: NetworkInit, meshId: string): Promise<DiscoveryFactory[]> {
  if (!init.mdns) return []
  const { mdns } = await import('@libp2p/mdns')
  const service = mdns({ serviceTag: mdnsServiceTag(meshId), interval: mdnsIntervalMs })
  return [service]
}

/** Peers of other meshes on the same network do not even answer. */
export function mdnsServiceTag(meshId: string): string {
  return `_owm-${meshId}._udp.local`
}

async function relayServer(init: NetworkInit, preset: PresetValues): Promise<Factories<'relay'>> {
  if (!init.relay.server) return {}
  const { circuitRelayServer } = await import('@libp2p/circuit-relay-v2')
  const { reservations, dataBytes, durationMs } = preset.relay
  return {
    relay: circuitRelayServer({
      reservations: {
        maxReservations: reservations,
        defaultDataLimit: dataBytes,
        defaultDurationLimit: durationMs,
      },
    }),
  }
}

async function natServices(init: NetworkInit, preset: PresetValues): Promise<Factories<'dcutr' | 'autoNat'>> {
  return {
    ...(init.relay.client ? { dcutr: (await import('@libp2p/dcutr')).dcutr() } : {}),
    ...(preset.autoNat ? { autoNat: (await import('@libp2p/autonat')).autoNAT() } : {}),
  }
}
