/** What happens while a model trains, as far as a person watches it. */
export type TrainingViewEvent =
  | {
      readonly kind: 'started'
      readonly model: string
      readonly parameters: number
      /** What is trained on, in a few words. */
      readonly data: string
      /** Of the data; none where it is endless. */
      readonly examples?: number
      readonly steps: number
      readonly batch: number
      /** The step of the checkpoint that it goes on from. */
      readonly resumedAt?: number
      /** Of every loss. */
      readonly unit: 'nats' | 'squared error' | 'bits/byte'
    }
  | {
      readonly kind: 'progress'
      readonly step: number
      readonly loss: number
      readonly learningRate: number
      readonly stepsPerSecond: number
      readonly examplesPerSecond: number
      readonly memoryBytes: number
    }
  /** On held-out data; accuracy is 0 to 1. */
  | { readonly kind: 'measured'; readonly step: number; readonly loss: number; readonly accuracy?: number }
  | { readonly kind: 'saved'; readonly step: number; readonly bytes: number }
  | { readonly kind: 'finished'; readonly step: number; readonly seconds: number; readonly loss: number }

export type Event<Kind extends TrainingViewEvent['kind']> = TrainingViewEvent & { readonly kind: Kind }
