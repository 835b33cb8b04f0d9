import { peerIdFromString } from '@libp2p/peer-id'
import type { ContentStore } from '../content/index.ts'
import { blake3Of, type Clock, errorMessage, OwmError } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import type { Measured, OfferedData, Trainer, TrainerInit, TrainProgress } from '../training/index.ts'
import type { Run } from './specification.ts'
import { maxSamples, maxSteps } from './statements.ts'
import type { UpdateShape } from './update-block.ts'

/** A graph and what is measured on are read into memory whole. */
const maxGraphBytes = 256 * 1024 * 1024
const maxHeldOutBytes = 64 * 1024 * 1024

export interface LocalUpdate {
  readonly bytes: Uint8Array
  readonly samples: number
  readonly steps: number
}

export interface LocalTrainingComponents {
  readonly content: ContentStore
  readonly clock: Clock
  readonly logger: Logger
  readonly trainerFactory: (init: TrainerInit) => Promise<Trainer>
}

/**
 * This peer's own work in a run: local steps, what of them is sent, and measuring checkpoints. The trainer, a worker
 * thread with the model and the data, is made at the first need and kept for the run; it does one job at a time.
 */
export class LocalTraining {
  readonly #components: LocalTrainingComponents
  readonly #run: Run
  readonly #data: Omit<OfferedData, 'heldOutShare'>
  readonly #hints: readonly string[]
  readonly #self: string
  #trainer: Promise<Trainer> | undefined
  #heldOut: Promise<Uint8Array> | undefined
  #evaluation: Promise<unknown> = Promise.resolve()
  /** What compression withheld from the last update that was made. */
  #residual: Float32Array | null = null
  #stopped = false

  constructor(components: LocalTrainingComponents, run: Run, self: string, data: Omit<OfferedData, 'heldOutShare'>) {
    this.#components = components
    this.#run = run
    this.#self = self
    this.#data = data
    this.#hints = [run.owner, ...run.specification.roster].filter((peer) => peer !== self)
  }

  /** Trains from `base` and compresses what was learned. @throws OwmError of the trainer, `aborted` */
  async train(
    base: Float32Array,
    shape: UpdateShape,
    round: number,
    signal: AbortSignal,
    onProgress: (progress: TrainProgress) => void,
  ): Promise<LocalUpdate> {
    const { localEpochs, localSteps = maxSteps, localMs, rounds } = this.#run.specification
    const trainer = await this.#ready(signal)
    if (trainer.layout.length !== base.length) {
      throw new OwmError('bad_model', `The graph has ${trainer.layout.length} weights, the checkpoint ${base.length}.`)
    }
    // A leader measures the checkpoint before; the others do not wait for it any longer than for their own steps.
    const startedMs = this.#components.clock.now()
    await this.#evaluation
    const spentMs = this.#components.clock.now() - startedMs
    const maxMs = Math.max(Math.ceil(localMs / 2), localMs - spentMs)
    const result = await trainer.train({
      parameters: base.slice(),
      maxSteps: localSteps,
      ...(localEpochs === undefined ? {} : { maxEpochs: localEpochs }),
      maxMs,
      draw: this.#number(`${round}`),
      runProgress: { from: (round - 1) / rounds, to: round / rounds },
      onProgress,
      signal,
    })
    signal.throwIfAborted()
    const delta = result.parameters.map((value, i) => value - base[i]!)
    if (!delta.every(Number.isFinite)) throw new OwmError('diverged', 'Training ended in numbers that are not finite.')
    const { bytes, residual } = shape.codec.encode(delta, this.#residual, { maxNorm: shape.clipNorm })
    this.#residual = residual
    return {
      bytes,
      samples: Math.max(1, Math.min(maxSamples, Math.round(result.samples))),
      steps: Math.max(1, result.steps),
    }
  }

  /** On what the run holds out. Training that is asked for meanwhile comes after. */
  evaluate(weights: () => Promise<Float32Array>, signal: AbortSignal): Promise<Measured> {
    const work = (async () => {
      const [trainer, heldOut, checkpoint] = await Promise.all([
        this.#ready(signal),
        this.#heldOutBytes(signal),
        weights(),
      ])
      return trainer.evaluate(checkpoint, heldOut, signal)
    })()
    this.#evaluation = work.catch(() => undefined)
    return work
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    const trainer = await this.#trainer?.catch(() => undefined)
    await trainer?.stop()
  }

  #ready(signal: AbortSignal): Promise<Trainer> {
    this.#trainer ??= this.#make(signal).catch((error: unknown) => {
      // Tried again at the next need: the graph may not have been within reach.
      this.#trainer = undefined
      throw error
    })
    return this.#trainer
  }

  async #make(signal: AbortSignal): Promise<Trainer> {
    const { specification } = this.#run
    const { fields, classes, optimizer, batch, heldOutShare } = specification
    const from = this.#hints.map((peer) => peerIdFromString(peer))
    // With it, what checkpoints are measured on: whoever has both may be gone when the first one is.
    const [graph] = await Promise.all([
      this.#components.content.get(specification.graph, { maxBytes: maxGraphBytes, from, signal }),
      this.#heldOutBytes(signal).catch(() => undefined),
    ])
    const trainer = await this.#components.trainerFactory({
      graph,
      fields,
      classes,
      optimizer,
      batch,
      data: { ...this.#data, heldOutShare },
      // Every peer sees its data in another order, and the same one after a restart.
      seed: this.#number(''),
    })
    if (!this.#stopped) return trainer
    await trainer.stop()
    throw new OwmError('stopped', 'The run is stopping.')
  }

  /** That this peer draws in this run, for some purpose: 32 bits, the same after a restart. */
  #number(purpose: string): number {
    const text = [this.#run.id, this.#self, purpose].filter((part) => part !== '').join('/')
    return new DataView(blake3Of(Buffer.from(text)).buffer).getUint32(0)
  }

  #heldOutBytes(signal: AbortSignal): Promise<Uint8Array> {
    const from = this.#hints.map((peer) => peerIdFromString(peer))
    this.#heldOut ??= this.#components.content
      .get(this.#run.specification.heldOut, { maxBytes: maxHeldOutBytes, from, signal })
      .catch((error: unknown) => {
        this.#heldOut = undefined
        this.#components.logger.warn({ run: this.#run.id, error: errorMessage(error) }, 'nothing to measure on')
        throw error
      })
    return this.#heldOut
  }
}
