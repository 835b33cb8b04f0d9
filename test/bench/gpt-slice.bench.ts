/**
 * What federated averaging of the default model reaches in the time that `owm devnet` has: 3 trainers, 8 rounds, each
 * round about 2.8 s of one core per trainer (4.2 s of two thirds of a core). No network: one process, one trainer after
 * the other, deltas averaged as they are. Measured against n-grams counted over all trainers' text.
 *
 * `npm run bench -- gpt-slice [ROUNDS] [MILLISECONDS A ROUND]`
 */
import { globSync } from 'node:fs'
import { silentLogger } from '../../src/observability/index.ts'
import {
  createTrainer,
  defaultBatch,
  defaultModel,
  defaultOptimizer,
  gptGraph,
  heldOutText,
  initialParameters,
  ngramBitsPerByte,
  readText,
  type TextSource,
} from '../../src/training/index.ts'

const peers = 3
const heldOutBytes = 128 * 1024

export async function run(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const rounds = Number(args[0] ?? 8)
  const maxMs = Number(args[1] ?? 2800)
  const packages = globSync(['node_modules/*/package.json', 'node_modules/@*/*/package.json'])
    .map((file) => file.slice(0, -'/package.json'.length))
    .sort()
  const source = (roots: readonly string[]): TextSource => ({
    roots,
    extensions: ['.ts', '.mts', '.js', '.mjs', '.md'],
    maxBytes: 8 * 1024 * 1024,
    heldOutShare: 16,
  })
  const sources = Array.from({ length: peers }, (_, peer) => source(packages.filter((_, at) => at % peers === peer)))
  const heldOut = await heldOutText(source(packages), heldOutBytes)
  const graph = gptGraph(defaultModel)
  const fields = [{ name: 'windows', type: 'int32', shape: [defaultModel.context + 1], values: 256 }] as const
  const trainers = []
  for (const [seed, data] of sources.entries()) {
    const init = { graph, fields, data, optimizer: defaultOptimizer, batch: defaultBatch, seed }
    trainers.push(await createTrainer({ logger: silentLogger }, init))
  }

  let parameters = initialParameters(defaultModel, 1)
  let steps = 0
  let largestNorm = 0
  const heldOutBitsPerByte: number[] = []
  for (let round = 0; round < rounds; round++) {
    const runProgress = { from: round / rounds, to: (round + 1) / rounds }
    const next = new Float32Array(parameters.length)
    for (const trainer of trainers) {
      const result = await trainer.train({ parameters, maxSteps: 1e9, maxMs, runProgress })
      steps += result.steps
      let square = 0
      for (let i = 0; i < next.length; i++) {
        next[i]! += result.parameters[i]! / peers
        square += (result.parameters[i]! - parameters[i]!) ** 2
      }
      largestNorm = Math.max(largestNorm, Math.sqrt(square))
    }
    parameters = next
    const { loss } = await trainers[0]!.evaluate(parameters, heldOut)
    heldOutBitsPerByte.push(Number(loss.toFixed(4)))
  }
  const evaluateStartedMs = performance.now()
  await trainers[0]!.evaluate(parameters, heldOut)
  const evaluateMs = performance.now() - evaluateStartedMs
  for (const trainer of trainers) await trainer.stop()

  const train: Uint8Array[] = []
  for (const data of sources) train.push((await readText(data)).bytes)
  const baseline = (order: 1 | 2 | 3): Promise<number> => ngramBitsPerByte(train, heldOut, order, defaultModel.context)
  return {
    parameters: parameters.length,
    heldOutBitsPerByte,
    unigramBitsPerByte: await baseline(1),
    bigramBitsPerByte: await baseline(2),
    trigramBitsPerByte: await baseline(3),
    stepMs: (rounds * peers * maxMs) / steps,
    stepsPerRound: steps / rounds / peers,
    evaluateMsPerMegabyte: (evaluateMs * 1024 * 1024) / heldOut.length,
    largestDeltaNorm: largestNorm,
    residentBytes: process.memoryUsage().rss,
  }
}
