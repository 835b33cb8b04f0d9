/**
 * What differential privacy costs: the 2NN on MNIST, dealt out to 1,000 trainers of 60 images, all of whom train in each
 * round (sampling them would hide nobody: in a mesh all know who trained). Updates are clipped and rounded as in a run;
 * the sum of the trainers' noise is drawn at once, as one discrete Gaussian of their variances' sum.
 *
 * `npm run bench -- dp [ROUNDS [EPSILON [SETTING...]]]`, where no settings are all four. A round takes 10 s or more.
 */
import { accountant, noiseFor } from '../../src/federation/privacy/accountant.ts'
import { RandomWords } from '../../src/federation/privacy/keystream.ts'
import { addNoise, clippedCodes } from '../../src/federation/privacy/noise.ts'
import { type PrivacyPlan, readPrivacyPlan, roundVarianceOf } from '../../src/federation/privacy/plan.ts'
import {
  createGraphBuilder,
  createRandom,
  encodeModel,
  inlineGraph,
  openSession,
  type RuntimeTensor,
  splitParameters,
} from '../../src/onnx/index.ts'
import { buildTrainingStep, classification, createOptimizer, mlp, openDataset } from '../../src/training/index.ts'
import { benchData } from './bench-data.ts'

const trainers = 1_000
const batch = 10
const epochs = 2
const learningRate = 0.1
const delta = 1e-5
/** About what an update of the first rounds has. */
const clipNorm = 1
const unitExponent = -16

interface Images {
  readonly inputs: Float32Array
  readonly targets: Int32Array
}
type NoisyPlan = Extract<PrivacyPlan, { kind: 'secure-aggregation-dp' }>

export async function run(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const rounds = Number(args[0] ?? 8)
  const epsilon = Number(args[1] ?? 8)
  const wanted = args.slice(2)
  const noiseMultiplier = noiseFor(epsilon, { sampleRate: 1, rounds, delta })
  const plan = readPrivacyPlan({
    ...{ kind: 'secure-aggregation-dp', thresholdPercent: 67, bits: 20, unitExponent },
    ...{ clipNorm, noiseMultiplier, delta },
  }) as NoisyPlan
  const promised = noiseMultiplier * clipNorm * 2 ** -unitExponent
  const settings: Readonly<Record<string, Settings>> = {
    plainAccuracy: { clip: false, variance: 0 },
    clippedAccuracy: { clip: true, variance: 0 },
    // Every trainer is trusted to keep its noise to itself, and none vanishes.
    accuracyTrustingAll: { clip: true, variance: Math.ceil(promised ** 2) },
    // As a run has it: a third may vanish, a third may tell their noise.
    accuracy: { clip: true, variance: trainers * roundVarianceOf(plan, trainers) },
  }
  const federation = await openFederation()
  const spentEpsilon = accountant({ noiseMultiplier, sampleRate: 1, rounds, delta })
  const figures: Record<string, number> = { trainers, rounds, delta, clipNorm, noiseMultiplier, spentEpsilon }
  for (const [name, one] of Object.entries(settings)) {
    if (wanted.length === 0 || wanted.includes(name)) figures[name] = await federation.train(rounds, one)
  }
  return figures
}

interface Settings {
  readonly clip: boolean
  /** Of the noise in the sum, in squared units. */
  readonly variance: number
}

async function openFederation() {
  const model = mlp()
  const optimizer = createOptimizer({ kind: 'sgd', learningRate })
  const step = buildTrainingStep({
    layout: model.layout,
    feeds: [
      { name: 'inputs', type: 'float32', shape: [batch, 784] },
      { name: 'targets', type: 'int32', shape: [batch] },
    ],
    loss: classification(model.model),
    optimizer,
  })
  const session = await openSession(step.bytes, { threads: 1 })
  const training = read('training')
  const heldOut = read('heldOut')
  const each = Math.floor(training.targets.length / trainers)
  const order = shuffled(training.targets.length)
  const evaluation = await openSession(forwardGraph(model), { threads: 1 })
  const feedsOf = (weights: Float32Array): Record<string, RuntimeTensor> =>
    Object.fromEntries(
      splitParameters(model.layout, weights).map(({ name, shape, values }) => [
        name,
        { type: 'float32', shape, data: values },
      ]),
    )

  const trainOne = async (weights: Float32Array, trainer: number): Promise<Float32Array> => {
    const steps = Math.floor((epochs * each) / batch)
    const inputs = new Float32Array(steps * batch * 784)
    const targets = new Int32Array(steps * batch)
    for (let i = 0; i < targets.length; i++) {
      const example = order[trainer * each + (i % each)]!
      inputs.set(training.inputs.subarray(example * 784, (example + 1) * 784), i * 784)
      targets[i] = training.targets[example]!
    }
    const rates = Array.from({ length: steps }, (_, at) => optimizer.rates(at + 1, 0)).flat()
    const result = await session.run({
      ...feedsOf(weights),
      inputs: { type: 'float32', shape: [steps, batch, 784], data: inputs },
      targets: { type: 'int32', shape: [steps, batch], data: targets },
      rates: { type: 'float32', shape: [steps, optimizer.rateCount], data: Float32Array.from(rates) },
    })
    const delta = new Float32Array(model.layout.length)
    for (const { name, offset } of model.layout.entries) {
      const after = result[`${name}.next`]!.data as Float32Array
      for (let i = 0; i < after.length; i++) delta[offset + i] = after[i]! - weights[offset + i]!
    }
    return delta
  }

  const measure = async (weights: Float32Array): Promise<number> => {
    const { targets, inputs } = heldOut
    const { logits } = await evaluation.run({
      ...feedsOf(weights),
      inputs: { type: 'float32', shape: [targets.length, 784], data: inputs },
    })
    const scores = logits!.data as Float32Array
    let right = 0
    for (const [i, target] of targets.entries()) {
      const row = scores.subarray(i * 10, (i + 1) * 10)
      if (row.indexOf(Math.max(...row)) === target) right++
    }
    return right / targets.length
  }

  return {
    train: async (rounds: number, { clip, variance }: Settings): Promise<number> => {
      const weights = model.initial(1)
      const random = new RandomWords(new Uint8Array(32).fill(1))
      const bound = clip ? clipNorm : 100
      for (let round = 1; round <= rounds; round++) {
        const sum = new Int32Array(weights.length)
        for (let trainer = 0; trainer < trainers; trainer++) {
          const codes = clippedCodes(await trainOne(weights, trainer), { clipNorm: bound, unitExponent })
          for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + codes[i]!
        }
        if (variance > 0) addNoise(sum, sum.length, variance, random)
        for (let i = 0; i < sum.length; i++) weights[i] = weights[i]! + (sum[i]! * 2 ** unitExponent) / trainers
        console.error(`clip ${clip}, variance ${variance}, round ${round}: ${await measure(weights)}`)
      }
      return measure(weights)
    },
  }
}

function forwardGraph(model: ReturnType<typeof mlp>): Uint8Array {
  const g = createGraphBuilder('forward')
  const feeds = new Map([['inputs', g.input('inputs', 'float32', ['batch', 784])]])
  for (const { name, shape } of model.layout.entries) feeds.set(name, g.input(name, 'float32', shape))
  const logits = inlineGraph(g, model.model.graph, feeds).get('logits')
  if (logits === undefined) throw new Error('the model has no logits')
  g.output('logits', logits)
  return encodeModel(g.model())
}

function read(part: 'training' | 'heldOut'): Images {
  const folder = benchData('mnist')
  const name = part === 'training' ? 'train' : 't10k'
  const source = {
    kind: 'idx',
    images: `${folder}/${name}-images-idx3-ubyte.gz`,
    labels: `${folder}/${name}-labels-idx1-ubyte.gz`,
    heldOutShare: 0,
    flat: true,
  } as const
  const dataset = openDataset(source, 'training')
  const inputs = new Float32Array(dataset.length * 784)
  const targets = new Int32Array(dataset.length)
  for (let i = 0; i < dataset.length; i++) dataset.read(i, [inputs, targets], i)
  dataset.close()
  return { inputs, targets }
}

function shuffled(length: number): Int32Array {
  const random = createRandom(7)
  const order = Int32Array.from({ length }, (_, i) => i)
  for (let i = length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const kept = order[i]!
    order[i] = order[j]!
    order[j] = kept
  }
  return order
}
