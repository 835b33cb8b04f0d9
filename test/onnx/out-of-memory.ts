/** A process of its own, whose address space is limited: asks a session for more than that, and prints the error. */
import { createGraphBuilder, encodeModel, openSession } from '../../src/onnx/index.ts'

const g = createGraphBuilder('wide')
const x = g.input('x', 'float32', ['n', 1])
g.output('sum', g.op('ReduceSum', [g.op('Add', [x, g.input('y', 'float32', [1, 'n'])]), g.integers([0, 1])]))
const session = await openSession(encodeModel(g.model()), { threads: 1 })
const n = Number(process.argv[2])
const data = new Float32Array(n)
const run = () =>
  session.run({ x: { type: 'float32', shape: [n, 1], data }, y: { type: 'float32', shape: [1, n], data } })
const { code, message } = await run().then(
  () => ({ code: 'none', message: '' }),
  (error: { readonly code: string; readonly message: string }) => error,
)
// The process goes on: what is left computes as before.
const alive = (await openSession(encodeModel(g.model()), { threads: 1 }).then((other) => other.release())) === undefined
console.log(JSON.stringify({ code, message, alive }))
