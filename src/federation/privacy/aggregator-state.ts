import type { Message } from './messages.ts'
import type { Opening } from './opening.ts'
import type { Directory, SessionConfig } from './session.ts'
import type { Consent, Input, Keys, Reveal, Shares, Statement } from './statements.ts'

/** A secure sum in the eyes of one member of the committee: plain data, as the round's machine has it. */

export type AggregatorPhase = 'keys' | 'shares' | 'inputs' | 'consents' | 'reveals' | 'unmasking' | 'done' | 'failed'

/** How long who leads waits in each phase for all; then it goes on with enough, or gives up. */
export interface AggregatorTiming {
  readonly keysMs: number
  readonly sharesMs: number
  /** Training ends in here. */
  readonly inputsMs: number
  readonly consentsMs: number
  readonly revealsMs: number
}

export interface AggregatorState {
  readonly config: SessionConfig
  readonly timing: AggregatorTiming
  readonly self: string
  /** One member leads; the others listen, and can go on where it has stopped. */
  readonly leads: boolean
  readonly phase: AggregatorPhase
  readonly sinceMs: number
  readonly tellAgainMs: number
  readonly repeats: number
  /** The first statement of each kind, by author. */
  readonly keys: Readonly<Record<string, Keys>>
  readonly shares: Readonly<Record<string, Shares>>
  readonly inputs: Readonly<Record<string, Input>>
  readonly consents: Readonly<Record<string, Consent>>
  readonly reveals: Readonly<Record<string, Reveal>>
  /** Revelations that have been looked at, by author: whether they are good. */
  readonly judged: Readonly<Record<string, boolean>>
  /** Authors whose masked contributions are durable here. */
  readonly fetched: ReadonlySet<string>
  readonly directory: Directory | null
  readonly dealers: Uint8Array | null
  readonly survivors: Uint8Array | null
  readonly opening: Opening | null
  readonly failure: Failure | null
}

/** Why there is no sum, and whose secrets are missing. That blames nobody: who has lied is `accused`. */
export interface Failure {
  readonly code: 'too_few_peers' | 'too_few_consents' | 'too_few_shares' | 'wrong_secret' | 'wrong_sum'
  readonly phase: AggregatorPhase
  readonly peers: readonly string[]
}

export type AggregatorEvent =
  | { readonly type: 'tick' }
  /** This member leads from now on. */
  | { readonly type: 'lead' }
  | { readonly type: 'said'; readonly statement: Statement }
  /** The bytes of an input are durable here and have the right shape, or do not: `code`. */
  | { readonly type: 'fetched'; readonly peer: string; readonly code: string | null }
  /** What the member that leads tells. */
  | { readonly type: 'message'; readonly from: string; readonly message: Message }
  | { readonly type: 'unmasked'; readonly code: string | null }

export type AggregatorEffect =
  | { readonly type: 'send'; readonly to: readonly string[]; readonly message: Message }
  /** Get the masked contribution, check its size and shape, store it durably. */
  | { readonly type: 'fetch'; readonly input: Input }
  /** Add the inputs, take off the masks, check the sum; answer with `unmasked`. */
  | {
      readonly type: 'unmask'
      readonly directory: Directory
      readonly opening: Opening
      readonly inputs: readonly Input[]
    }
  | { readonly type: 'refused'; readonly peer: string; readonly code: string }
  /** Two statements, or a statement and the directory, prove it. */
  | { readonly type: 'accused'; readonly peer: string; readonly code: 'equivocation' | 'wrong_share' | 'wrong_secret' }
  | { readonly type: 'done'; readonly opening: Opening; readonly survivors: readonly string[] }
  | { readonly type: 'failed'; readonly failure: Failure }

export interface AggregatorStep {
  readonly state: AggregatorState
  readonly effects: readonly AggregatorEffect[]
}

export type AggregatorDraft = { -readonly [Field in keyof AggregatorState]: AggregatorState[Field] }
