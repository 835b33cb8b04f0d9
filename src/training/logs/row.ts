/** What logs of a training tell, in all their formats. */
export interface LogRow {
  /** From 1. Rows come in the order of steps; several may be of one step. */
  readonly step: number
  readonly epoch?: number
  /** In the unit of the task: nats, or bits per byte or character. */
  readonly loss?: number
  readonly learningRate?: number
  readonly examplesPerSecond?: number
  /** Trained so far, over all starts. */
  readonly seconds?: number
  readonly heldOutLoss?: number
  /** 0 to 1. */
  readonly heldOutAccuracy?: number
}

/** TensorBoard draws tags with the same beginning side by side. */
export const logFields = [
  { field: 'epoch', column: 'epoch', tag: 'progress/epoch' },
  { field: 'loss', column: 'loss', tag: 'loss/training' },
  { field: 'learningRate', column: 'learning_rate', tag: 'progress/learning rate' },
  { field: 'examplesPerSecond', column: 'examples_per_second', tag: 'progress/examples per second' },
  { field: 'seconds', column: 'seconds', tag: 'progress/seconds' },
  { field: 'heldOutLoss', column: 'held_out_loss', tag: 'loss/held out' },
  { field: 'heldOutAccuracy', column: 'held_out_accuracy', tag: 'accuracy/held out' },
] as const satisfies readonly { field: keyof LogRow; column: string; tag: string }[]

export interface LogInit {
  /**
   * The step of the checkpoint that training goes on from: later rows of an earlier start count no more. 0 when it died
   * before the first. Absent for a new log; then there must be none in the place.
   */
  readonly resumeAt?: number
}

/**
 * @example
 * const log = await openCsvLog('run.csv', { resumeAt: 400 })
 * await log.append({ step: 401, loss: 0.25 })
 * await log.close()
 */
export interface TrainingLog {
  /**
   * Resolves when the row is on the disk. So that a log has no gap, await this before a checkpoint of the step is saved.
   *
   * @throws OwmError `log_not_written`, and again for all that comes later
   */
  append(row: LogRow): Promise<void>
  /** Writes what is left. */
  close(): Promise<void>
}
