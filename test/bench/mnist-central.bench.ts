/**
 * What the two models of McMahan et al. 2017 reach on MNIST when one machine has all of it, trained as `owm train local`
 * trains them: `npm run bench -- mnist-central [mlp|cnn]`. About 3 s and 2 minutes on two cores.
 */
import { jobFor } from '../../src/cli/train-local/options.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { trainLocally } from '../../src/training/index.ts'
import { benchData } from './bench-data.ts'

const epochs: Readonly<Record<string, number>> = { mlp: 5, cnn: 3 }

export async function run(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const figures: Record<string, number> = {}
  const startedMs = performance.now()
  for (const model of args.length > 0 ? args : ['mlp', 'cnn']) {
    const job = jobFor({
      model,
      data: [benchData('mnist')],
      epochs: epochs[model]!,
      seed: 1,
      threads: 2,
      provider: 'cpu',
      precision: 'float32',
      measurements: 2,
      saveSeconds: 0,
      restart: false,
      classes: false,
      json: false,
    })
    const { measured, seconds, steps } = await trainLocally({ logger: silentLogger }, job, {
      onEvent: (event) => {
        if (event.kind === 'measured') console.error(`${model} step ${event.step}: ${event.accuracy}`)
      },
    })
    figures[`${model}Accuracy`] = measured!.accuracy!
    figures[`${model}Steps`] = steps
    figures[`${model}Seconds`] = Math.round(seconds * 10) / 10
  }
  figures['seconds'] = Math.round((performance.now() - startedMs) / 100) / 10
  return figures
}
