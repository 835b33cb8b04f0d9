import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import type { ContentStore } from '../content/index.ts'
import { equalBytes, errorCode, errorMessage, OwmError, RejectedError, sha256Of } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import type { UpdateReport, ValueReader } from './aggregation/index.ts'
import type { Head, Value } from './certificate.ts'
import {
  type CheckpointManifest,
  decodeManifest,
  encodeManifest,
  maxCarriedBytes,
  maxManifestBytes,
  maxWeightsBytes,
  weightsFromBytes,
  weightsToBytes,
} from './checkpoint.ts'
import { type Carried, createRoundRule, type RoundResult, type RoundRule } from './round-rule.ts'
import type { Run } from './specification.ts'
import type { Notice } from './statements.ts'
import { decodeUpdate, maxUpdateBytes, type UpdateShape } from './update-block.ts'

/** Weights are large and each round needs those before it only: so many are kept in memory, and what is carried with them. */
const keptWeights = 2
/** Checkpoints whose parts are remembered: more than the rounds of which they stay on disk. */
const rememberedParts = 64

export interface Checkpoint {
  readonly manifest: CheckpointManifest
  readonly weights: Float32Array
}

/**
 * The results of rounds: what a set of updates makes of a checkpoint, bit for bit, and how a certified checkpoint is
 * fetched and verified. Holds the weights and updates that the round under way needs.
 */
export class Results {
  readonly #run: Run
  readonly #content: ContentStore
  readonly #weights = new Map<string, Float32Array>()
  readonly #carried = new Map<string, Carried>()
  readonly #updates = new Map<string, ValueReader>()
  /** Updates on their way to the disk, or there. */
  readonly #durable = new Map<string, Promise<unknown>>()
  readonly #computed = new Map<string, Promise<string>>()
  /** Results that only have to be put together. */
  readonly #finishing = new Set<Promise<unknown>>()
  /** Why the rule left updates out, by trainer. */
  readonly #leftOut = new Map<string, ReadonlyMap<string, string>>()
  /** What the round under way has brought onto this disk. */
  readonly #stored = new Set<string>()
  /** What a checkpoint's manifest names: weights, step, what is carried. */
  readonly #parts = new Map<string, readonly string[]>()
  readonly #rule: RoundRule
  readonly #certified: (round: number) => Value | null
  readonly #logger: Logger
  #settling: Promise<unknown> = Promise.resolve()
  #parameters = 0

  /** `certified` gives the certified value of a round. */
  constructor(run: Run, content: ContentStore, logger: Logger, certified: (round: number) => Value | null) {
    this.#run = run
    this.#content = content
    this.#logger = logger
    this.#certified = certified
    this.#rule = createRoundRule(run.specification)
  }

  /** How many weights the model has; 0 while none are here. */
  get parameters(): number {
    return this.#parameters
  }

  /** The weights that a round starts from. `value` is the certificate's that made them, null for the initial ones. */
  async weights(value: Value | null, hints: readonly string[], signal: AbortSignal): Promise<Float32Array> {
    const key = this.#checkpointOf(value)
    const kept = this.#weights.get(key)
    if (kept !== undefined) return kept
    const weights =
      value === null
        ? weightsFromBytes(await this.#fetch(key, maxWeightsBytes, hints, signal))
        : (await this.load(value, hints, signal)).weights
    this.#keep(key, weights)
    return weights
  }

  /**
   * A certified checkpoint, verified against its certificate. If nobody has it, it is computed again from the updates
   * and the checkpoint before: those are durable before anybody votes, results are not.
   *
   * @throws OwmError as `ContentStore.get`, or `corrupt`
   */
  async load(value: Value, hints: readonly string[], signal: AbortSignal): Promise<Checkpoint> {
    try {
      return await this.#loadStored(value, hints, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (errorCode(error) !== 'not_found') throw error
      await this.#computeAgain(value, hints, signal, error)
      return this.#loadStored(value, hints, signal)
    }
  }

  /** @throws `unless` where the certificate before is not here; OwmError `corrupt` */
  async #computeAgain(value: Value, hints: readonly string[], signal: AbortSignal, unless: unknown): Promise<void> {
    const before = value.round === 1 ? null : this.#certified(value.round - 1)
    if (before === null && value.round > 1) throw unless
    this.#logger.info({ round: value.round }, 'nobody has the checkpoint; it is computed again')
    const base = await this.weights(before, hints, signal)
    const previous = { round: value.round - 1, id: value.previous, checkpoint: this.#checkpointOf(before) }
    const checkpoint = await this.compute(previous, base, value.updates, hints, signal)
    await this.settled()
    if (checkpoint !== value.checkpoint) throw new OwmError('corrupt', `Round ${value.round} gives other weights.`)
  }

  async #loadStored(value: Value, hints: readonly string[], signal: AbortSignal): Promise<Checkpoint> {
    await Promise.allSettled(this.#finishing)
    const manifest = decodeManifest(await this.#fetch(value.checkpoint, maxManifestBytes, hints, signal))
    const updates = value.updates.map((notice) => notice.update)
    const fits =
      manifest.run === value.run &&
      manifest.round === value.round &&
      manifest.parentCertificate === value.previous &&
      manifest.updates.length === updates.length &&
      manifest.updates.every((update, i) => update === updates[i])
    if (!fits) throw new OwmError('corrupt', `Checkpoint ${value.checkpoint} is not what its certificate says.`)
    const kept = this.#weights.get(value.checkpoint)
    if (kept !== undefined) return { manifest, weights: kept }
    this.#rememberParts(value.checkpoint, manifest)
    const followed = await this.#follow(manifest, hints, signal)
    const bytes = followed ?? (await this.#fetch(manifest.weights, manifest.size, hints, signal))
    if (bytes.byteLength !== manifest.size || !equalBytes(sha256Of(bytes), manifest.sha256)) {
      throw new OwmError('corrupt', `The weights of ${value.checkpoint} are not what its manifest says.`)
    }
    // Made here from the step: from here on this peer can hand them out.
    if (followed !== null) this.#store(value.checkpoint, [bytes])
    const weights = weightsFromBytes(bytes)
    this.#parameters = weights.length
    return { manifest, weights }
  }

  /** The weights from those before and the step, which is a fraction of them; null where that cannot be done. */
  async #follow(
    { parent, step, weights, sha256 }: CheckpointManifest,
    hints: readonly string[],
    signal: AbortSignal,
  ): Promise<Uint8Array | null> {
    const before = this.#weights.get(parent)
    const { stepCodec } = this.#rule
    if (before === undefined || step === null || stepCodec === null) return null
    try {
      if (await this.#content.has(CID.parse(weights))) return null
      const bytes = await this.#fetch(step, stepCodec.maxBytes(before.length), hints, signal)
      this.#stored.add(step)
      const followed = weightsToBytes(this.#rule.follow(before, bytes))
      if (!equalBytes(sha256Of(followed), sha256)) throw new OwmError('corrupt', 'The step leads elsewhere.')
      return followed
    } catch (error) {
      signal.throwIfAborted()
      this.#logger.debug({ code: errorCode(error) }, 'a step cannot be followed; the weights are fetched whole')
      return null
    }
  }

  /**
   * What goes on beside the weights from a round to the next, for who computes a result.
   *
   * @throws OwmError as `load`
   */
  async carried(
    { round, checkpoint }: Pick<Head, 'round' | 'checkpoint'>,
    base: Float32Array,
    hints: readonly string[],
    signal: AbortSignal,
  ): Promise<Carried> {
    const kept = this.#carried.get(checkpoint)
    if (kept !== undefined) return kept
    const bytes = this.#rule.carriedBytes(base.length)
    if (round === 0 || bytes === 0) return this.#rule.initialCarried(base.length)
    try {
      const { carried } = decodeManifest(await this.#fetch(checkpoint, maxManifestBytes, hints, signal))
      if (carried === null) throw new OwmError('corrupt', `Checkpoint ${checkpoint} does not say what is carried on.`)
      const block = await this.#fetch(carried, Math.min(bytes, maxCarriedBytes), hints, signal)
      return this.#rule.unpackCarried(block, base.length)
    } catch (error) {
      signal.throwIfAborted()
      const value = errorCode(error) === 'not_found' ? this.#certified(round) : null
      if (value === null) throw error
      await this.#computeAgain(value, hints, signal, error)
      return this.#carried.get(checkpoint) as Carried
    }
  }

  /** What an update of this run must look like. */
  shapeOf(base: Float32Array): UpdateShape {
    return { codec: this.#rule.codec, length: base.length, clipNorm: this.#run.specification.clipNorm }
  }

  /**
   * Checks a pushed update and stores it durably.
   *
   * @throws RejectedError as `decodeUpdate`, or `wrong_cid`, `wrong_size`; OwmError `store_full`
   */
  async store(notice: Notice, bytes: Uint8Array, base: Float32Array): Promise<void> {
    this.take(notice, bytes, base)
    await this.#durable.get(notice.update)
  }

  /** Stores an update of this peer's own making. */
  async storeOwn(bytes: Uint8Array): Promise<string> {
    const update = this.#content.cidOf(bytes).toString()
    this.#stored.add(update)
    await this.#content.put(bytes)
    return update
  }

  /** After a restart: these are here, or on their way. */
  noteStored(updates: readonly string[]): void {
    for (const update of updates) this.#stored.add(update)
  }

  /** As `store`, without waiting for the disk: what is here need not be fetched. */
  take(notice: Notice, bytes: Uint8Array, base: Float32Array): void {
    if (this.#updates.has(notice.update)) return
    this.#check(notice, bytes)
    this.#updates.set(notice.update, decodeUpdate(bytes, this.shapeOf(base)))
    this.#stored.add(notice.update)
    const durable = this.#content.put(bytes)
    durable.catch(() => undefined)
    this.#durable.set(notice.update, durable)
  }

  /** An update that somebody reported or proposed; fetched where it is not here. @throws as `store` and `get` */
  async update(
    notice: Notice,
    base: Float32Array,
    hints: readonly string[],
    signal: AbortSignal,
  ): Promise<ValueReader> {
    const kept = this.#updates.get(notice.update)
    if (kept !== undefined) {
      await this.#durable.get(notice.update)
      return kept
    }
    this.#stored.add(notice.update)
    const bytes = await this.#fetch(notice.update, maxUpdateBytes, [notice.trainer, ...hints], signal)
    this.#check(notice, bytes)
    const update = decodeUpdate(bytes, this.shapeOf(base))
    this.#updates.set(notice.update, update)
    return update
  }

  /**
   * Aggregates. Equal inputs give equal bytes on every machine. Returns once the updates are durable; weights and
   * manifest, which can be computed again, follow (`settled`).
   *
   * @returns the CID of the checkpoint's manifest
   */
  async compute(
    previous: Pick<Head, 'round' | 'id' | 'checkpoint'>,
    base: Float32Array,
    notices: readonly Notice[],
    hints: readonly string[],
    signal: AbortSignal,
  ): Promise<string> {
    const sorted = [...notices].sort((a, b) => (a.trainer < b.trainer ? -1 : 1))
    const key = sorted.map((notice) => `${notice.update}*${notice.samples}`).join(' ')
    const known = this.#computed.get(key)
    if (known !== undefined) {
      try {
        return await known
      } catch {
        // Who asked before may have called it off.
        signal.throwIfAborted()
      }
    }
    const made = this.#compute(previous, base, sorted, hints, signal)
    this.#computed.set(key, made)
    made.catch(() => {
      if (this.#computed.get(key) === made) this.#computed.delete(key)
    })
    return made
  }

  async #compute(
    previous: Pick<Head, 'round' | 'id' | 'checkpoint'>,
    base: Float32Array,
    sorted: readonly Notice[],
    hints: readonly string[],
    signal: AbortSignal,
  ): Promise<string> {
    const updates = await Promise.all(
      sorted.map(async (notice) => ({
        samples: notice.samples,
        values: await this.update(notice, base, hints, signal),
      })),
    )
    const before = await this.carried(previous, base, hints, signal)
    // Finished in any case: when the certificate is quicker than this member, what it made is sooner here than fetched.
    const finishing = this.#rule.next(base, before, updates).then((result) => this.#take(previous, sorted, result))
    this.#finishing.add(finishing)
    return finishing.finally(() => this.#finishing.delete(finishing))
  }

  #take(
    previous: Pick<Head, 'round' | 'id' | 'checkpoint'>,
    sorted: readonly Notice[],
    { weights, carried, step, reports }: RoundResult,
  ): string {
    const bytes = weightsToBytes(weights)
    const block = this.#rule.packCarried(carried)
    const nameOf = (part: Uint8Array): string => this.#content.cidOf(part).toString()
    const manifest: CheckpointManifest = {
      name: this.#run.specification.name,
      run: this.#run.id,
      round: previous.round + 1,
      parent: previous.checkpoint,
      parentCertificate: previous.id,
      updates: sorted.map((notice) => notice.update),
      weights: nameOf(bytes),
      sha256: sha256Of(bytes),
      size: bytes.byteLength,
      step: step && nameOf(step),
      carried: block && nameOf(block),
    }
    const encoded = encodeManifest(manifest)
    const checkpoint = nameOf(encoded)
    this.#rememberParts(checkpoint, manifest)
    this.#stored.add(checkpoint)
    for (const part of this.#parts.get(checkpoint) ?? []) this.#stored.add(part)
    // The step first: most wait for it alone.
    this.#store(
      checkpoint,
      [step, bytes, block, encoded].filter((part) => part !== null),
    )
    this.#leftOut.set(checkpoint, leftOutOf(sorted, reports))
    this.#keep(checkpoint, weights)
    keepNewest(this.#carried, checkpoint, carried, keptWeights)
    return checkpoint
  }

  #store(checkpoint: string, parts: readonly Uint8Array[]): void {
    const stored = [this.#settling, ...parts.map((part) => this.#content.put(part))]
    this.#settling = Promise.all(stored).catch((error) =>
      this.#logger.error({ checkpoint, error: errorMessage(error) }, 'a checkpoint could not be stored'),
    )
  }

  /** The updates that this round's rule gave no weight in a result, and why: `outlier`, `not_chosen`, `too_far`. */
  leftOut(checkpoint: string): ReadonlyMap<string, string> {
    return this.#leftOut.get(checkpoint) ?? new Map()
  }

  /** Resolves when all results are durable, or could not be made so. */
  async settled(): Promise<void> {
    await this.#settling
  }

  get stored(): ReadonlySet<string> {
    return this.#stored
  }

  /** CIDs of what a checkpoint's manifest names, as far as that can be told from what is here. */
  async partsOf(checkpoint: string): Promise<readonly string[]> {
    const known = this.#parts.get(checkpoint)
    if (known !== undefined) return known
    try {
      const cid = CID.parse(checkpoint)
      if (!(await this.#content.has(cid))) return []
      return this.#rememberParts(
        checkpoint,
        decodeManifest(await this.#content.get(cid, { maxBytes: maxManifestBytes })),
      )
    } catch {
      // A committee can certify anything as a checkpoint.
      return []
    }
  }

  #rememberParts(checkpoint: string, { weights, step, carried }: CheckpointManifest): readonly string[] {
    const parts = [weights, step, carried].filter((part) => part !== null)
    keepNewest(this.#parts, checkpoint, parts, rememberedParts)
    return parts
  }

  /** Forgets what the round before needed. Returns what it has stored: some of it may be in no certificate. */
  nextRound(): string[] {
    const stored = [...this.#stored]
    this.#stored.clear()
    this.#durable.clear()
    this.#updates.clear()
    this.#computed.clear()
    this.#leftOut.clear()
    return stored
  }

  #checkpointOf(value: Value | null): string {
    return value?.checkpoint ?? this.#run.specification.initial.toString()
  }

  #check(notice: Notice, bytes: Uint8Array): void {
    if (bytes.byteLength !== notice.bytes) {
      throw new RejectedError('reject', 'wrong_size', `The update has ${bytes.byteLength} bytes, not ${notice.bytes}.`)
    }
    if (this.#content.cidOf(bytes).toString() !== notice.update) {
      throw new RejectedError('reject', 'wrong_cid', 'The update is not the one that its notice names.')
    }
  }

  #keep(checkpoint: string, weights: Float32Array): void {
    this.#parameters = weights.length
    keepNewest(this.#weights, checkpoint, weights, keptWeights)
  }

  #fetch(cid: string, maxBytes: number, hints: readonly string[], signal: AbortSignal): Promise<Uint8Array> {
    const from: PeerId[] = [...new Set(hints)].map((peer) => peerIdFromString(peer))
    return this.#content.get(CID.parse(cid), { maxBytes, from, signal })
  }
}

function keepNewest<T>(map: Map<string, T>, key: string, value: T, most: number): void {
  map.delete(key)
  map.set(key, value)
  while (map.size > most) map.delete(map.keys().next().value ?? '')
}

function leftOutOf(sorted: readonly Notice[], reports: readonly UpdateReport[]): ReadonlyMap<string, string> {
  return new Map(
    reports.flatMap(({ code }, i) => (code === null ? [] : [[(sorted[i] as Notice).trainer, code] as const])),
  )
}
