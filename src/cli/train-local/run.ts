import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { takeLock } from '../../config/index.ts'
import { exitCodes, OwmError } from '../../lib/index.ts'
import { silentLogger } from '../../observability/index.ts'
import { type LocalEvent, localOutputs, trainLocally, type Unit } from '../../training/index.ts'
import { createTerminal } from '../terminal.ts'
import { createTrainingView } from '../training-view.ts'
import { jobFor, type LocalOptions } from './options.ts'

/** Trains as was asked for, shows it, and keeps what comes of it. */
export async function runTrainLocal(options: LocalOptions): Promise<void> {
  const terminal = createTerminal(options)
  const { out } = options
  const job = jobFor(options)
  const folder = out === undefined ? undefined : await openFolder(out, options.restart)
  const stop = new AbortController()
  let signals = 0
  const onSignal = (): void => {
    signals++
    if (signals > 1) process.exit(exitCodes.interrupted)
    stop.abort()
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  const view = createTrainingView(terminal)
  let step = 0
  let unit: Unit = 'nats'
  const onEvent = (event: LocalEvent): void => {
    if (event.kind === 'started') {
      const { resumedAt, ...rest } = event
      unit = event.unit
      step = resumedAt
      view.event({ ...rest, batch: job.batch * job.accumulate, ...(resumedAt === 0 ? {} : { resumedAt }) })
    } else if (event.kind === 'measured') {
      const { accuracy, ...rest } = event
      view.event(accuracy === null ? rest : { ...rest, accuracy })
    } else {
      step = event.step
      view.event(event)
    }
  }
  try {
    const result = await trainLocally({ logger: silentLogger }, job, { onEvent, signal: stop.signal })
    const { steps, loss, measured, seconds } = result
    const model = out === undefined ? null : join(out, localOutputs.model)
    view.event({ kind: 'finished', step: steps, seconds, loss })
    const report = { steps, loss, unit, heldOut: measured, seconds, parameters: result.parameters.length, model }
    const advice = model === null ? 'nothing was kept; --out FOLDER keeps the model' : `the trained model is ${model}`
    terminal.result(report, () => advice)
  } catch (error) {
    view.stop()
    if (!stop.signal.aborted) throw error
    const advice =
      out === undefined ? 'with --out FOLDER a run can be gone on with' : 'the same command goes on from there'
    throw new OwmError('aborted', `Stopped at step ${step}; ${advice}.`, {}, error)
  } finally {
    folder?.release()
  }
}

/** Takes the folder for this process. What a crash left half-written in it goes. */
async function openFolder(out: string, restart: boolean): Promise<{ release(): void }> {
  await mkdir(out, { recursive: true })
  const lock = takeLock(out)
  if (lock === undefined)
    throw new OwmError('folder_in_use', `Another training is under way in ${out}; give another --out.`)
  try {
    for (const name of await readdir(out)) {
      const ours = Object.values(localOutputs).find(
        (file) => name === file || (name.startsWith(`.${file}.`) && name.endsWith('.tmp')),
      )
      if (ours !== undefined && (restart || name !== ours)) await rm(join(out, name), { recursive: true })
    }
  } catch (error) {
    lock.release()
    throw error
  }
  return lock
}
