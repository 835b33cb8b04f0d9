import type { Value } from './certificate.ts'
import type { PersistentMap } from './persistent-map.ts'
import type { Abandon, Join, Notice, Vote, VotePhase } from './statements.ts'

/**
 * One round in one peer's eyes: what the machine knows, what it is told, and what it wants done. All of it is plain
 * data; peers and CIDs are strings. Signatures, hashes and shapes have been checked before an event gets here.
 */

/** Fixed for one attempt at a round. */
export interface RoundConfig {
  readonly run: string
  readonly self: string
  readonly round: number
  readonly attempt: number
  readonly roster: readonly string[]
  /** In the order in which they lead. */
  readonly committee: readonly string[]
  readonly quorum: number
  /** So many of the roster give an attempt up. */
  readonly rosterQuorum: number
  readonly minimumTrainers: number
  /** Whether this peer trains in the round. */
  readonly trains: boolean
  readonly timing: Timing
}

/** The two time-outs of a round; `timing.ts` derives them from the rounds before. */
export interface Timing {
  /** From the round's start: a leader waits no longer for trainers that are connected. */
  readonly collectMs: number
  /** From then on, or from a view's start: a leader that brings nothing about is passed over. Doubles with each view. */
  readonly agreeMs: number
}

/** A quorum's votes of one phase for one value in one view. */
export interface QuorumProof {
  readonly view: number
  readonly value: string
  readonly votes: readonly Vote[]
}
/** A value that may have been decided in `view`: this peer has sent its commit vote. */
export interface Lock {
  readonly view: number
  readonly value: Value
  readonly votes: readonly Vote[]
}

/** What must be on disk before a vote leaves, so that a restart cannot vote twice. */
export interface MemberRecord {
  readonly view: number
  /** The last prepare vote; a later one has a higher view. */
  readonly prepared: { readonly view: number; readonly value: Value; readonly justify: QuorumProof | null } | null
  readonly lock: Lock | null
}

export type Message =
  /** The sender has left all views below. */
  | { readonly kind: 'moved'; readonly view: number }
  /** The leader asks for what the members hold. */
  | { readonly kind: 'close'; readonly view: number }
  | {
      readonly kind: 'report'
      readonly view: number
      readonly held: readonly Notice[]
      readonly joins: readonly Join[]
      readonly lock: Lock | null
    }
  /** `justify`, on a value that was locked before: the prepare votes that locked it. */
  | {
      readonly kind: 'proposal'
      readonly view: number
      readonly value: Value
      readonly justify: QuorumProof | null
    }
  | { readonly kind: 'vote'; readonly vote: Vote }

/** How a member takes a pushed update. `closed` and `behind` may change; the others are final. */
export type PushOutcome = 'stored' | 'closed' | 'behind' | 'late' | (string & {})

export type Event =
  | { readonly type: 'tick' }
  | { readonly type: 'connected' | 'disconnected'; readonly peer: string }
  /** The own update is durable here. */
  | { readonly type: 'trained'; readonly notice: Notice }
  | { readonly type: 'pushed'; readonly member: string; readonly update: string; readonly outcome: PushOutcome }
  /** A trainer wants its update kept; `stored` follows when the effect `store` is done. */
  | { readonly type: 'offered'; readonly notice: Notice }
  | { readonly type: 'stored'; readonly notice: Notice; readonly code: string | null }
  | { readonly type: 'join'; readonly join: Join }
  | { readonly type: 'message'; readonly from: string; readonly message: Message }
  /** The leader's own value is computed and its result stored. */
  | { readonly type: 'aggregated'; readonly view: number; readonly value: Value | null }
  | { readonly type: 'verified'; readonly view: number; readonly value: string; readonly code: string | null }
  /** Others, or this peer itself, have given an attempt up: statements of one attempt at this round, each signed. */
  | { readonly type: 'abandoned'; readonly abandons: readonly Abandon[] }
  /** A peer has spoken of another attempt than the one that this peer is in. */
  | { readonly type: 'astray'; readonly from: string; readonly attempt: number }

export type Effect =
  | { readonly type: 'train' }
  | { readonly type: 'push'; readonly to: readonly string[]; readonly notice: Notice }
  /** Check the update's bytes and store them durably. */
  | { readonly type: 'store'; readonly notice: Notice }
  /** Write down that this member acknowledges the update: durable before any effect after it. */
  | { readonly type: 'hold'; readonly notice: Notice }
  | { readonly type: 'answer'; readonly notice: Notice; readonly outcome: PushOutcome }
  /** Durable before any effect after it is run. */
  | { readonly type: 'persist'; readonly record: MemberRecord }
  | { readonly type: 'send'; readonly to: readonly string[]; readonly message: Message }
  /** Sign, send to the whole committee, and bring the vote back as a message from oneself. */
  | { readonly type: 'vote'; readonly phase: VotePhase; readonly view: number; readonly value: string }
  | {
      readonly type: 'aggregate'
      readonly view: number
      readonly updates: readonly Notice[]
      readonly joins: readonly Join[]
    }
  /** Fetch the updates, recompute the result, store it, compare. */
  | { readonly type: 'verify'; readonly view: number; readonly value: Value }
  | { readonly type: 'certify'; readonly value: Value; readonly view: number; readonly votes: readonly Vote[] }
  | { readonly type: 'catch-up'; readonly from: string }
  /**
   * Write down that this peer has given the attempt up, sign it, tell its committee and those of the next `committees`
   * attempts, and bring it back as an event.
   */
  | { readonly type: 'abandon'; readonly attempt: number; readonly committees: number }
  /** Tell who does not know why this peer is in its attempt. */
  | { readonly type: 'show'; readonly to: readonly string[]; readonly abandons: readonly Abandon[] }
  /** This attempt is over. Write down that this peer is in another one, and begin that. */
  | { readonly type: 'enter'; readonly attempt: number; readonly proof: readonly Abandon[] }
  | { readonly type: 'accepted'; readonly notice: Notice }
  | { readonly type: 'rejected'; readonly trainer: string; readonly code: string }
  /** A proposal that this member does not vote for. */
  | { readonly type: 'refused'; readonly leader: string; readonly code: string }
  | { readonly type: 'passed-over'; readonly leader: string; readonly next: string }

/** The own update on its way to the committee. */
export interface Delivery {
  readonly notice: Notice
  readonly stored: readonly string[]
  readonly underWay: readonly string[]
  /** Members that will not take it. */
  readonly refused: readonly string[]
  readonly accepted: boolean
  readonly attempts: number
  readonly nextMs: number
}

/** What the leader of the view is at. */
export type Leading =
  | {
      readonly stage: 'closing'
      readonly sinceMs: number
      readonly reports: Readonly<Record<string, Extract<Message, { kind: 'report' }>>>
    }
  | { readonly stage: 'aggregating' }
  | { readonly stage: 'proposed'; readonly proposal: Extract<Message, { kind: 'proposal' }> }

export interface RoundState {
  readonly config: RoundConfig
  readonly startedMs: number
  readonly view: number
  readonly viewSinceMs: number
  /** The highest view that each other member is known to be in. */
  readonly heard: Readonly<Record<string, number>>
  /** Since when a peer is not connected. In the future at the start: connections take a moment. */
  readonly goneSinceMs: PersistentMap<number>
  /** Updates that are durable here and acknowledged, by trainer. */
  readonly held: PersistentMap<Notice>
  readonly joins: PersistentMap<Join>
  readonly delivery: Delivery | null
  /** The view in which this member last said what it holds; it takes no update until it has left that view. */
  readonly reportedView: number
  readonly prepared: MemberRecord['prepared']
  readonly lock: Lock | null
  /** The first proposal of this view. */
  readonly proposal: {
    readonly value: Value
    readonly justify: QuorumProof | null
    readonly status: 'verifying' | 'verified' | 'refused'
  } | null
  readonly leading: Leading | null
  /** By `view/phase/value`, then voter. */
  readonly votes: Readonly<Record<string, Readonly<Record<string, Vote>>>>
  readonly values: Readonly<Record<string, Value>>
  readonly sentMs: number
  readonly certified: boolean
  /** Who has given up which attempt, this one or a later one: by attempt, then peer. */
  readonly abandons: Readonly<Record<number, PersistentMap<Abandon>>>
  /** What lets this peer be in this attempt: a quorum of the roster gave the one before up. */
  readonly proof: readonly Abandon[]
  /** This peer has given the attempt up: it votes in it no more. */
  readonly givenUp: { readonly sentMs: number; readonly times: number } | null
  /** The attempt is over here: the next one begins with another state. */
  readonly left: boolean
}

export interface Step {
  readonly state: RoundState
  readonly effects: readonly Effect[]
}

/** A copy of the state that one step changes field by field; its values stay shared and are never changed. */
export type Draft = { -readonly [Field in keyof RoundState]: RoundState[Field] }
