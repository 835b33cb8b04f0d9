import type { GossipSub, gossipsub } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import type { Clock } from '../lib/index.ts'
import type { PresetValues } from './presets.ts'

/*
 * Gossipsub v1.1 peer scoring, kept to what a small mesh can rely on: invalid messages (P4), behaviour (P7), shared
 * addresses (P6) and our own verdict on requests (P5). Delivery quotas (P3) punish peers on slow topics, so they are off.
 */

/** Of rejected messages remembered, half is forgiven after about 70 s. */
const invalidDecay = 0.99
/** Squared and weighted: the 3rd rejected message within a minute brings a peer below the graylist threshold of -80. */
const invalidWeight = -10
/** A malformed request counts for one; half of them is forgiven after a minute. */
const faultHalfLifeMs = 60_000
/** Fewer faults than this cost nothing: a peer of another version must not be shut out for one message. */
const toleratedFaults = 3
const maxRememberedPeers = 1_024

type Options = NonNullable<Parameters<typeof gossipsub>[0]>
type TopicScoreParams = NonNullable<NonNullable<Options['scoreParams']>['topics']>[string]

/** Faults in requests, by peer. They feed the same score as gossip does. */
export interface Reputation {
  penalise(peer: PeerId): void
  /** 0 or below. */
  score(peer: string): number
}

export function createReputation(clock: Clock): Reputation {
  const faults = new Map<string, { level: number; atMs: number }>()
  const levelOf = (peer: string): number => {
    const entry = faults.get(peer)
    return entry === undefined ? 0 : entry.level * 0.5 ** ((clock.now() - entry.atMs) / faultHalfLifeMs)
  }
  return {
    penalise: (peer) => {
      const key = peer.toString()
      const level = levelOf(key) + 1
      faults.delete(key)
      faults.set(key, { level, atMs: clock.now() })
      for (const oldest of faults.size > maxRememberedPeers ? faults.keys() : []) {
        faults.delete(oldest)
        break
      }
    },
    score: (peer) => -(Math.max(0, levelOf(peer) - toleratedFaults) ** 2),
  }
}

export function scoreParams(preset: PresetValues, reputation: Reputation): NonNullable<Options['scoreParams']> {
  return {
    topics: {},
    appSpecificScore: reputation.score,
    appSpecificWeight: 10,
    IPColocationFactorWeight: preset.ipColocationWeight,
    IPColocationFactorThreshold: 10,
    behaviourPenaltyThreshold: 6,
  }
}

/**
 * Has rejected messages of a topic count against those who sent them. Gossipsub takes the parameters of all topics when
 * it is made, and ours come later, with the rooms that own them: hence the look inside.
 */
export function scoreTopic(pubsub: GossipSub, topic: string): void {
  const { score } = pubsub as GossipSub & {
    readonly score: { readonly params: { readonly topics: Record<string, TopicScoreParams> } }
  }
  score.params.topics[topic] = {
    topicWeight: 1,
    timeInMeshWeight: 0,
    timeInMeshQuantum: 1_000,
    timeInMeshCap: 1,
    firstMessageDeliveriesWeight: 0.1,
    firstMessageDeliveriesDecay: 0.9,
    firstMessageDeliveriesCap: 50,
    meshMessageDeliveriesWeight: 0,
    meshMessageDeliveriesDecay: 0.5,
    meshMessageDeliveriesCap: 1,
    meshMessageDeliveriesThreshold: 1,
    meshMessageDeliveriesWindow: 10,
    meshMessageDeliveriesActivation: 5_000,
    meshFailurePenaltyWeight: 0,
    meshFailurePenaltyDecay: 0.5,
    invalidMessageDeliveriesWeight: invalidWeight,
    invalidMessageDeliveriesDecay: invalidDecay,
  }
}

/** The current score of a connected peer; 0 for a stranger. */
export function scoreOf(pubsub: GossipSub, peer: PeerId): number {
  return (pubsub as GossipSub & { getScore(peer: string): number }).getScore(peer.toString())
}

/**
 * Whether gossip flows to a connected peer. Gossipsub opens its stream once per connection; one that was reset since, by
 * a backlog or a limit, is never opened again.
 */
export function gossipsWith(pubsub: GossipSub, peer: PeerId): boolean {
  const { streamsOutbound } = pubsub as GossipSub & { readonly streamsOutbound: ReadonlyMap<string, unknown> }
  return streamsOutbound.has(peer.toString())
}
