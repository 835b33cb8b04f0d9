/** The thread of worker.test.ts. */
import { OwmError } from '../../src/lib/index.ts'
import { createGraphBuilder, encodeModel, openSession, serveWorker } from '../../src/onnx/index.ts'

serveWorker({
  echo: (payload: unknown, { emit }) => {
    emit('heard')
    return { value: payload }
  },
  fail: () => {
    throw new OwmError('own_code', 'as asked')
  },
  throwLater: () => {
    setImmediate(() => {
      throw new Error('outside of any call')
    })
    return new Promise(() => undefined)
  },
  runForEver: async (_: unknown, { emit, signal }) => {
    const g = createGraphBuilder('long')
    const a = g.input('a', 'float32', [600, 600])
    let x = a
    for (let i = 0; i < 20; i++) x = g.op('MatMul', [x, a])
    g.output('x', x)
    const session = await openSession(encodeModel(g.model()), { threads: 1 })
    for (;;) {
      await session.run({ a: { type: 'float32', shape: [600, 600], data: new Float32Array(360_000) } })
      emit('ran')
      await new Promise((resolve) => setImmediate(resolve))
      signal.throwIfAborted()
    }
  },
})
