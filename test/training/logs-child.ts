/** Logs steps as a training does, from the checkpoint on, and tells of each fifth as of a checkpoint, until it is killed. */
import { writeSync } from 'node:fs'
import { openCsvLog } from '../../src/training/logs/csv.ts'
import { openTensorBoardLog } from '../../src/training/logs/tensorboard.ts'

const [csvFile = '', folder = '', resumeAt = ''] = process.argv.slice(2)
const init = resumeAt === '' ? {} : { resumeAt: Number(resumeAt) }
const logs = [await openCsvLog(csvFile, init), await openTensorBoardLog(folder, init)]
for (let step = Number(resumeAt) + 1; ; step++) {
  const written = logs.map((log) => log.append({ step, loss: 1 / step }))
  if (step % 5 !== 0) continue
  await Promise.all(written)
  writeSync(1, `${step}\n`)
}
