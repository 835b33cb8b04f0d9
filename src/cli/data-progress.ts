import { exitCodes } from '../lib/index.ts'
import type { DataProgress } from '../training/index.ts'
import type { Terminal } from './terminal.ts'

const barWidth = 24
/** The eye follows no more. */
const redrawMs = 100

const words: Readonly<Record<DataProgress['stage'], string>> = {
  reading: 'reading',
  counting: 'counting',
  baselines: 'measuring what counting predicts',
  words: 'counting words',
  merges: 'joining pairs',
}

/** How far a long look has come, drawn in place; gone when it ends. Ctrl-C ends the process: nothing is half done. */
export async function withProgress<T>(
  terminal: Terminal,
  work: (onProgress: (progress: DataProgress) => void) => Promise<T>,
): Promise<T> {
  const onSignal = (): void => {
    terminal.draw([])
    process.exit(exitCodes.interrupted)
  }
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  let drawnMs = Number.NEGATIVE_INFINITY
  try {
    return await work(({ stage, done, total }) => {
      const now = performance.now()
      if (now - drawnMs < redrawMs) return
      drawnMs = now
      const share = total === 0 ? 0 : Math.min(1, done / total)
      const filled = Math.round(share * barWidth)
      terminal.draw([`${'━'.repeat(filled)}${terminal.style.dim('━'.repeat(barWidth - filled))} ${words[stage]}`])
    })
  } finally {
    terminal.draw([])
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}
