import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createRandom } from '../../src/onnx/index.ts'
import { temporaryFolder } from '../processes.ts'

const entry = fileURLToPath(new URL('../../src/cli/owm.js', import.meta.url))

/** Of the kills: those before the first step. */
const earlyShare = 0.15

export interface KilledRun {
  /** How often it was killed before it was done. */
  readonly kills: number
  /** The steps that it was resumed at. */
  readonly resumedAt: readonly number[]
  readonly identical: boolean
}

/**
 * Trains to the end, and again with SIGKILL at random instants, `kills` times at most, and compares the models' bytes.
 * The instants are spread over the whole run: some are while it starts.
 */
export async function killedRun(args: readonly string[], kills: number, seed = 1): Promise<KilledRun> {
  const [whole, broken] = [temporaryFolder(), temporaryFolder()]
  const train = (out: string) =>
    spawn(process.execPath, [entry, 'train', 'local', ...args, '--out', out, '--save-seconds', '0'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
  const startedMs = performance.now()
  const undisturbed = train(whole)
  const wordsOf = (child: ReturnType<typeof train>): { text: string; firstMs: number } => {
    const said = { text: '', firstMs: 0 }
    child.stderr.on('data', (chunk: Buffer) => {
      if (said.text === '') said.firstMs = performance.now()
      said.text += chunk.toString()
    })
    return said
  }
  const words = wordsOf(undisturbed)
  const [code] = await once(undisturbed, 'close')
  if (code !== 0) throw new Error(`the undisturbed run ended with ${code}: ${words.text}`)
  const startMs = words.firstMs - startedMs
  const trainMs = performance.now() - words.firstMs
  const random = createRandom(seed)
  const resumedAt: number[] = []
  let killed = 0
  for (;;) {
    const child = train(broken)
    const said = wordsOf(child)
    const closed = once(child, 'close')
    // The last attempt is left alone. Some are killed while they start, the others from when they train.
    const timers: NodeJS.Timeout[] = []
    const killIn = (ms: number): void => {
      if (killed < kills) timers.push(setTimeout(() => child.kill('SIGKILL'), ms))
    }
    if (random.unit() < earlyShare) killIn(random.unit() * startMs)
    else child.stderr.once('data', () => killIn((random.unit() * 2 * trainMs) / kills))
    const [ended, signal] = (await closed) as [number | null, string | null]
    for (const timer of timers) clearTimeout(timer)
    const resumed = /on from step ([\d,]+)/.exec(said.text)
    if (resumed !== null) resumedAt.push(Number(resumed[1]!.replaceAll(',', '')))
    if (signal === null && ended !== 0) throw new Error(`a resumed run ended with ${ended}: ${said.text}`)
    if (signal === null) break
    killed++
  }
  const model = (folder: string): Buffer => readFileSync(join(folder, 'model.onnx'))
  return { kills: killed, resumedAt, identical: model(whole).equals(model(broken)) }
}
