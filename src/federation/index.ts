/**
 * Federated rounds that nobody leads: a committee elected by distance from the round's seed gathers the trainers'
 * updates, computes the same aggregate bit for bit, and signs it; the quorum's signatures are the certificate.
 *
 * The rules of a round are a pure machine, `(state, event, nowMs) -> { state, effects }`; the driver runs its effects
 * over the network, the content store and the trainer.
 *
 * @example
 * const federation = createFederation({ network, identity, content, clock, logger, metrics, trainerFactory }, init)
 * const run = await federation.createRun(specification)
 * federation.onEvent((event) => log.info({ ...event }, event.type))
 */
import type { CID } from 'multiformats/cid'
import type { Startable } from '../lib/index.ts'
import type { ExampleShape, LossUnit, OptimizerPlan, OuterPlan } from '../training/index.ts'
import type { AggregationPlan } from './aggregation/index.ts'
import type { AuditReport, RoundAudit } from './audit.ts'
import type { CodecPlan } from './codecs/codec.ts'
import type { ControlAction } from './control.ts'
import type { ExportFile } from './export.ts'
import type { PrivacyPlan } from './privacy/plan.ts'

export { aggregationPlans } from './aggregation/index.ts'
export {
  type AuditFinding,
  type AuditReport,
  type AuditSource,
  auditRun,
  type PeerAudit,
  type RoundAudit,
} from './audit.ts'
export { runNamedBy } from './audit-findings.ts'
export { type CodecPlan, codecPlanSchema } from './codecs/codec.ts'
export type { ControlAction } from './control.ts'
export { type ExportedRun, type ExportFile, newestWeights, openExport } from './export.ts'
export { createFederation, type FederationComponents, type FederationInit } from './federation.ts'
export { defaultPlans } from './plans.ts'
export {
  type FaultKind,
  faultKinds,
  type Outcome,
  type SeedsResult,
  scenarioOf,
  simulate,
  simulateSeeds,
} from './simulator/index.ts'

/** What the owner signs. A run's id is the CID of its signed specification. */
export interface RunSpecification extends ExampleShape {
  /** The model's name in the mesh, `owm-code`. */
  readonly name: string
  /** The ONNX forward graph. */
  readonly graph: CID
  /** The initial weights, float32 little-endian. */
  readonly initial: CID
  /** What every checkpoint is measured on: public text where tokens are bytes, else examples as `encodeExamples` makes them. */
  readonly heldOut: CID
  /** Out of 256: trainers leave out files, or examples, whose content hash falls below it. */
  readonly heldOutShare: number
  readonly optimizer: OptimizerPlan
  /** Examples that a local step sees. */
  readonly batch: number
  /** Local work a round: so many passes over a trainer's data, or steps, and in any case at most so long. */
  readonly localEpochs?: number | undefined
  readonly localSteps?: number | undefined
  readonly localMs: number
  readonly rounds: number
  /** The peers of the first round (peer ids); later rounds name their own in the certificate before. */
  readonly roster: readonly string[]
  readonly minimumTrainers: number
  readonly committeeSize: number
  /** `crash`: majority; `byzantine`: 2f+1 of 3f+1. */
  readonly faults: 'crash' | 'byzantine'
  /** How updates travel, and the steps of the shared model; null: whoever needs the model fetches all of it. */
  readonly compression: { readonly updates: CodecPlan; readonly results: CodecPlan | null }
  /** How a round's updates are put together. */
  readonly aggregation: AggregationPlan
  /** How what comes of that moves the model. */
  readonly outer: OuterPlan
  readonly privacy: PrivacyPlan
  /** The L2 norm, in units of the weights, beyond which no update is taken; trainers cut theirs to it. */
  readonly clipNorm: number
  readonly createdMs: number
}

export type RunStatus = 'waiting' | 'training' | 'stalled' | 'paused' | 'finished' | 'cancelled'
export type RoundPhase = 'training' | 'collecting' | 'voting' | 'certified'

export interface RoundView {
  readonly round: number
  readonly attempt: number
  readonly leader: string
  readonly committee: readonly string[]
  /** Peers whose updates are in the aggregate. */
  readonly trainers: readonly string[]
  readonly updates: readonly string[]
  /** Of all updates together. */
  readonly updateBytes: number
  readonly samples: number
  readonly signatures: number
  readonly checkpoint: string
  readonly certificate: string
  readonly certifiedMs: number
  readonly seconds: number
  /** On what the run holds out, in its `unit`; null before anybody has measured. */
  readonly heldOutLoss: number | null
  /** The share of right answers; null where there is none to tell. */
  readonly heldOutAccuracy: number | null
}

/** What this peer saw of a round since it started; the certificate says nothing of it. */
export interface RoundObservation {
  readonly round: number
  /** All that went over this peer's connections while the round was under way. */
  readonly sentBytes: number
  readonly receivedBytes: number
  readonly rejected: readonly { readonly trainer: string; readonly code: string }[]
  /** Leaders that were silent, slow or wrong. */
  readonly passedOver: readonly string[]
}

export interface RunView {
  readonly id: string
  readonly name: string
  readonly owner: string
  readonly status: RunStatus
  readonly totalRounds: number
  /** The round under way, from 1. */
  readonly round: number
  readonly phase: RoundPhase
  readonly leader: string | null
  readonly committee: readonly string[]
  readonly roster: readonly string[]
  readonly rounds: readonly RoundView[]
  /** Measured on the initial weights. */
  readonly initialLoss: number | null
  /** Of all losses of the run. */
  readonly unit: LossUnit
  readonly parameters: number
  readonly observed: readonly RoundObservation[]
  /** The specification but for the roster, as JSON. */
  readonly specification: Readonly<Record<string, unknown>>
  /** The owner's last word: no round after `last` is worked on (null: all are). A round up to it is still finished. */
  readonly control: { readonly action: ControlAction; readonly last: number | null; readonly sequence: number } | null
}

/** Everything that happens, in this peer's eyes. Peer ids and CIDs as strings, so that an event is JSON. */
export type FederationEvent = { readonly run: string; readonly atMs: number } & (
  | { readonly type: 'run-joined'; readonly name: string }
  | {
      readonly type: 'round-started'
      readonly round: number
      readonly leader: string
      readonly committee: readonly string[]
    }
  | {
      /** Of this peer's own trainer, or told by another's. */
      readonly type: 'train-progress'
      readonly round: number
      readonly trainer: string
      readonly step: number
      readonly loss: number
      readonly stepsPerSecond: number
    }
  /** The committee before could not end the round: another one takes over, with the same updates. */
  | {
      readonly type: 'attempt-started'
      readonly round: number
      readonly attempt: number
      readonly leader: string
      readonly committee: readonly string[]
    }
  /** A certificate of a lower attempt has come up: this one, and the rounds that came after it, stand no more. */
  | { readonly type: 'rounds-undone'; readonly from: number; readonly rounds: number }
  /** An update, this peer's or one that another peer tells of, is stored by enough of the committee: it can no longer be lost. */
  | { readonly type: 'update-accepted'; readonly round: number; readonly trainer: string; readonly update: string }
  | { readonly type: 'update-rejected'; readonly round: number; readonly trainer: string; readonly code: string }
  | { readonly type: 'leader-passed-over'; readonly round: number; readonly leader: string; readonly next: string }
  | { readonly type: 'round-certified'; readonly round: RoundView }
  | {
      readonly type: 'evaluated'
      readonly round: number
      readonly checkpoint: string
      readonly heldOutLoss: number
      readonly heldOutAccuracy: number | null
    }
  /** The owner has paused, resumed, finished or cancelled the run; this peer has heard of it now. */
  | { readonly type: 'run-controlled'; readonly action: ControlAction; readonly last: number | null }
  /** No round comes any more: all are certified, or the owner has ended the run. */
  | { readonly type: 'run-finished'; readonly checkpoint: string }
)

/** An event as a run makes it; which run and when is added outside. */
export type WithoutEnvelope = FederationEvent extends infer E
  ? E extends unknown
    ? Omit<E, 'run' | 'atMs'>
    : never
  : never

/** A verified, certified checkpoint with its weights at hand. */
export interface CheckpointView extends ExampleShape {
  readonly run: string
  readonly name: string
  readonly round: number
  /** CID of the checkpoint's manifest: what an answer names. */
  readonly checkpoint: string
  readonly weights: CID
  readonly graph: CID
  /** Of a language model; null of others. */
  readonly model: { readonly context: number; readonly vocabulary: number } | null
  readonly signatures: number
  readonly certifiedMs: number
}

export interface Federation extends Startable {
  /** Signs and announces a run. @throws OwmError `bad_run` naming the field */
  createRun(specification: RunSpecification): Promise<string>
  /**
   * Pauses, resumes, finishes or cancels a run of this peer's own: its signed word goes to all. `pause` and `finish` let
   * the round under way end; `cancel` leaves it.
   *
   * @throws OwmError `unknown_run`, `not_owner`, `run_over`, `not_paused`
   */
  controlRun(run: string, action: ControlAction): Promise<void>
  /**
   * Makes this peer train in the run, or no longer, whatever the settings say; remembered over restarts.
   *
   * @throws OwmError `unknown_run`, `run_over`, `no_training_data`
   */
  takePart(run: string, trains: boolean): Promise<void>
  /**
   * Audits a run, as `auditRun` does, from what this peer has and can fetch.
   *
   * @param options.certificate judged in the place of the one that is known here of its round
   * @throws OwmError `unknown_run`, `no_such_round`
   */
  audit(
    run: string,
    options: { readonly round?: number | undefined; readonly certificate?: Uint8Array; readonly signal: AbortSignal },
  ): AsyncIterable<RoundAudit | AuditReport>
  /** The files of a run for use and audit without any peer. @throws OwmError `unknown_run` */
  exportRun(run: string, signal: AbortSignal): AsyncIterable<ExportFile>
  runs(): RunView[]
  /** The newest certified checkpoint of each model name. */
  checkpoints(): CheckpointView[]
  /** The newest certified checkpoint of one run that is here whole; null when none is. */
  checkpointOf(run: string): CheckpointView | null
  /** The flat weights, verified against certificate and CID. */
  weights(checkpoint: CheckpointView, signal?: AbortSignal): Promise<Float32Array>
  onEvent(listener: (event: FederationEvent) => void): () => void
}
