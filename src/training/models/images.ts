/** The two models of McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized data". */
import { defineModel, type TrainableModel } from '../define-model.ts'
import { convolution, dense, maxPool } from '../layers.ts'

/** Two hidden layers of ReLU: 199,210 parameters by default. `inputs` [batch, sizes[0]] -> `logits`. */
export function mlp(sizes: readonly number[] = [784, 200, 200, 10]): TrainableModel {
  return defineModel('mlp', (m) => {
    let x = m.g.input('inputs', 'float32', ['batch', sizes[0]!])
    for (const [at, size] of sizes.slice(1).entries()) {
      x = dense(m, `${at}`, at === 0 ? x : m.g.op('Relu', [x]), size)
    }
    m.g.output('logits', x)
  })
}

/** Two 5x5 convolutions, each with a 2x2 pool, and a hidden layer: 1,663,370 parameters by default. */
export function cnn({
  depth = 1,
  side = 28,
  channels = [32, 64] as readonly number[],
  kernel = 5,
  hidden = 512,
  classes = 10,
} = {}): TrainableModel {
  return defineModel('cnn', (m) => {
    let x = m.g.input('inputs', 'float32', ['batch', depth, side, side])
    for (const [at, filters] of channels.entries()) {
      // The same as the pool of the ReLU, with a quarter of the elements.
      x = m.g.op('Relu', [maxPool(m, convolution(m, `${at}`, x, filters, kernel), 2)])
    }
    const rows = dense(m, 'hidden', m.g.op('Flatten', [x]), hidden)
    m.g.output('logits', dense(m, 'output', m.g.op('Relu', [rows]), classes))
  })
}
