import type { PeerId } from '@libp2p/interface'
import type { Identity } from '../identity/index.ts'
import {
  abortable,
  type Clock,
  createEmitter,
  errorCode,
  OwmError,
  type Rate,
  toHex,
  withTimeout,
} from '../lib/index.ts'
import type { GossipTopic, Network, TopicSpec } from '../network/index.ts'
import type { Logger, Metrics } from '../observability/index.ts'
import { createAnnouncer } from './announcer.ts'
import { fitBody, maxDocumentBytes, maxTtlMs, signManifest } from './document.ts'
import type { ManifestBody, ManifestEvent, Manifests } from './index.ts'
import { createJoining } from './joining.ts'
import { type Admission, createLiveView, defaultMaxPeers, type Verified } from './live-view.ts'
import { openSequence, type Sequence } from './sequence.ts'
import { createSnapshotServer, snapshotProtocol } from './snapshot.ts'
import { type Judgement, judgeManifest } from './validator.ts'

/**
 * A mesh of 10,000 sends 167 manifests a second, and all of them may come through one neighbour. Six times that leaves
 * room for a mesh that heals; a core verifies more.
 */
const forwarderRate: Rate = { perSecond: 1000, burst: 5000 }
/** How late a leave may be noticed. */
const sweepMs = 1000
/** After a connection opens, gossip needs a moment to learn who listens; then this peer says who it is. */
const settleMs = 1500
/** With fewer neighbours than gossip wants for a full mesh (6), one may not have been heard of yet. */
const fewNeighbours = 6
const farewellTimeoutMs = 1000

/** Verified manifests that the view has no use for. They are forwarded nevertheless: others may have. */
const refusals: Readonly<Partial<Record<Admission, string>>> = {
  stale: 'stale_sequence',
  unknown: 'unknown_farewell',
  full: 'view_full',
}

export interface ManifestsComponents {
  readonly network: Network
  readonly identity: Identity
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
}
export interface ManifestsInit {
  /** How often this peer announces itself, 60 s by the specification. */
  readonly intervalMs: number
  /** How long others believe it; three intervals let two be lost. At most five minutes. */
  readonly ttlMs: number
  /** What this peer says of itself. Asked at each announcement; lists are cut to what a manifest holds, first ones first. */
  readonly describe: () => Promise<ManifestBody> | ManifestBody
  /** Where the sequence number survives a restart. Without it, the time does what it can. */
  readonly dataDir?: string
  /** Peers in the view; 16,384 by default. */
  readonly maxPeers?: number
  /** Manifests taken from one neighbour; 1,000 a second by default. */
  readonly forwarderRate?: Rate
}

export function createManifests(components: ManifestsComponents, init: ManifestsInit): Manifests {
  const { network, identity, clock, logger, metrics } = components
  if (!(init.intervalMs > 0 && init.ttlMs > init.intervalMs && init.ttlMs <= maxTtlMs)) {
    throw new OwmError(
      'invalid_options',
      `A manifest must live longer than the interval of ${init.intervalMs} ms and at most ${maxTtlMs} ms, not ${init.ttlMs} ms.`,
    )
  }
  const self = toHex(identity.publicKey)
  const accepted = metrics.counter('owm_manifests_accepted_total', 'Manifests taken into the view.', ['source'])
  const refused = metrics.counter('owm_manifests_refused_total', 'Manifests not taken, by reason.', ['source', 'code'])
  const liveGauge = metrics.gauge('owm_manifests_live_peers', 'Peers in the live view, self included.')

  const changes = createEmitter<ManifestEvent>((error) => {
    logger.error({ code: errorCode(error) }, 'a listener to the live view failed')
  })
  const view = createLiveView({
    maxPeers: init.maxPeers ?? defaultMaxPeers,
    isProtected: (peer) => peer.equals(network.self) || network.isConnected(peer),
    onEvent: (event) => {
      liveGauge.set(view.size)
      changes.emit(event)
    },
  })

  let sequence: Sequence | undefined
  let seenSelf = false
  const onOwn = (seen: number): void => {
    if (sequence === undefined || seen <= sequence.last) return
    // Our own key signed a later one: the sequence was lost with its file, or the key is in use twice.
    logger.warn({ seen, last: sequence.last }, 'the mesh holds a later manifest of this key; is it in use twice?')
    sequence.raise(seen)
    if (!seenSelf) announcer.soon()
    seenSelf = true
  }

  const judge = (bytes: Uint8Array): Judgement => {
    const judgement = judgeManifest(bytes, clock.now(), { meshId: network.meshId, known: view.known })
    if (judgement.verdict !== 'accept' || judgement.value.author !== self) return judgement
    onOwn(judgement.value.sequence)
    return { verdict: 'ignore', code: 'own', message: 'The manifest is of this peer.' }
  }
  const admit = (manifest: Verified, source: 'gossip' | 'snapshot'): void => {
    const admission = view.admit(manifest, clock.now())
    const code = refusals[admission]
    if (code === undefined) accepted.add(1, { source })
    else refused.add(1, { source, code })
  }

  const topicSpec: TopicSpec<Verified> = {
    name: 'manifests',
    version: '1.0.0',
    maxBytes: maxDocumentBytes,
    rate: init.forwarderRate ?? forwarderRate,
    validate: (data) => {
      const judgement = judge(data)
      if (judgement.verdict !== 'accept') refused.add(1, { source: 'gossip', code: judgement.code })
      return judgement
    },
  }
  let topic: GossipTopic<Verified> | undefined

  const publish = async (body: ManifestBody | null, signal: AbortSignal): Promise<void> => {
    if (topic === undefined || sequence === undefined) throw new OwmError('not_running', 'The peer is not running.')
    const next = await sequence.next()
    const issuedMs = clock.now()
    const expiresMs = body === null ? issuedMs : issuedMs + init.ttlMs
    const fields = { mesh: network.meshId, sequence: next, issuedMs, expiresMs, body }
    const document = signManifest(identity, fields)
    signal.throwIfAborted()
    view.admit({ author: self, peer: identity.peerId, document, ...fields }, issuedMs)
    await topic.publish(document)
  }
  const announcer = createAnnouncer(
    { clock, logger },
    { intervalMs: init.intervalMs, send: async (signal) => publish(fitBody(await init.describe()), signal) },
  )
  const joining = createJoining(
    { network, clock, logger },
    {
      maxDocuments: init.maxPeers ?? defaultMaxPeers,
      isLive: (peer) => view.get(authorOf(peer), clock.now()) !== undefined,
      take: (document) => {
        const judgement = judge(document)
        if (judgement.verdict === 'accept') admit(judgement.value, 'snapshot')
        else refused.add(1, { source: 'snapshot', code: judgement.code })
        return judgement.verdict !== 'reject'
      },
    },
  )

  let callOffSweep = (): void => undefined
  const sweep = (): void => {
    view.expire(clock.now())
    callOffSweep = clock.after(sweepMs, sweep)
  }
  let callOffHello: (() => void) | undefined
  const greet = (): void => {
    if (callOffHello !== undefined || network.peers().length > fewNeighbours) return
    callOffHello = clock.after(settleMs, () => {
      callOffHello = undefined
      announcer.soon()
    })
  }

  let running = false
  const stopListening: (() => void)[] = []
  return {
    start: async (signal) => {
      if (running) return
      sequence ??= await openSequence(clock, logger, init.dataDir)
      signal?.throwIfAborted()
      running = true
      if (topic === undefined) {
        topic = network.gossip(topicSpec)
        const serve = createSnapshotServer({
          clock,
          self,
          authors: () => [...view.entries(clock.now())].map((entry) => authorOf(entry.view.peer)),
          document: (author) => view.get(author, clock.now())?.document,
        })
        network.handle(snapshotProtocol, async (request) => serve(request))
      }
      stopListening.push(
        topic.onMessage((manifest) => admit(manifest, 'gossip')),
        network.onPeer((event) => {
          if (event.type === 'connected') greet()
        }),
      )
      sweep()
      announcer.start()
      joining.start()
    },
    stop: async () => {
      if (!running) return
      running = false
      for (const stop of stopListening.splice(0)) stop()
      callOffSweep()
      callOffHello?.()
      callOffHello = undefined
      await Promise.all([announcer.stop(), joining.stop()])
      await farewell()
    },
    view: () => Array.from(view.entries(clock.now()), (entry) => entry.view),
    get: (peer) => view.get(authorOf(peer), clock.now())?.view,
    announce: () => announcer.announce(),
    onChange: changes.on,
  }

  /** Tells the mesh at once; whoever does not hear it notices when the last manifest expires. */
  async function farewell(): Promise<void> {
    try {
      const signal = withTimeout(farewellTimeoutMs)
      await abortable(publish(null, signal), signal)
    } catch (error) {
      logger.debug({ code: errorCode(error) }, 'the farewell could not be published')
    }
  }
}

/** Ed25519 peer ids carry their key; an id of another kind is in no view. */
function authorOf(peer: PeerId): string {
  return peer.publicKey === undefined ? '' : toHex(peer.publicKey.raw)
}
