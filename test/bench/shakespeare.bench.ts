/**
 * Character models on Tiny Shakespeare, of which the last tenth is held out: `npm run bench -- shakespeare [gpt|lstm]`.
 *
 * Beside published figures: nanoGPT's README gives 1.88 nats (2.71 bits) a character for its GPT for CPUs, which is the
 * one here (4 layers, 4 heads, 128 wide, 64 characters, batches of 12, 2,000 steps, about 3 minutes), and 1.4697 nats
 * (2.12 bits) for one of 10.7 M parameters trained on a GPU; the LSTM of McMahan et al. 2017 (two layers of 256, 80
 * characters) is trained there until it tells 54 % of characters right, on other plays of Shakespeare.
 */
import { jobFor, type LocalOptions } from '../../src/cli/train-local/options.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { trainLocally } from '../../src/training/index.ts'
import { benchData } from './bench-data.ts'

const models: Readonly<Record<string, Partial<LocalOptions>>> = {
  gpt: { model: 'gpt:small', context: 64, batch: 12, steps: 2000, learningRate: 2e-3 },
  lstm: { model: 'lstm', context: 80, batch: 32, steps: 2000 },
}
const published = {
  gptPublishedBits: 1.88 / Math.LN2,
  gptGpuPublishedBits: 1.4697 / Math.LN2,
  lstmPublishedAccuracy: 0.54,
}

export async function run(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const figures: Record<string, number> = { ...published }
  for (const [name, options] of Object.entries(models)) {
    if (args.length > 0 && !args.includes(name)) continue
    const job = jobFor({
      model: name,
      data: [benchData('tinyshakespeare/input.txt')],
      tail: 0.1,
      seed: 1,
      threads: 2,
      provider: 'cpu',
      precision: 'float32',
      measurements: 4,
      saveSeconds: 0,
      restart: false,
      classes: false,
      json: false,
      ...options,
    })
    const { measured, seconds } = await trainLocally({ logger: silentLogger }, job, {
      onEvent: (event) => {
        if (event.kind === 'measured') console.error(`${name} step ${event.step}: ${event.loss} bits`)
      },
    })
    figures[`${name}BitsPerCharacter`] = measured!.loss
    figures[`${name}Accuracy`] = measured!.accuracy!
    figures[`${name}Seconds`] = Math.round(seconds)
  }
  return figures
}
