/** Runs a step graph with onnxruntime-web, in a page or in Node: nothing here is of one of them alone, or of this project. */

/** A tensor as plain data: what `postMessage` and JSON can carry. */
export interface PlainTensor {
  readonly type: string
  readonly shape: readonly number[]
  readonly data: ArrayBufferView
}
export type Tensors = Readonly<Record<string, PlainTensor>>
export interface Job {
  readonly model: Uint8Array
  /** What goes from run to run, as it is at first; the outputs have these names with `.next`. */
  readonly carried: Tensors
  /** What each run is fed beside. */
  readonly runs: readonly Tensors[]
}
export interface Outcome {
  readonly carried: Tensors
  /** The sum of losses of each run. */
  readonly losses: readonly number[]
  /** Of each run, without what it took to make the session. */
  readonly runMs: readonly number[]
}

/** The part of onnxruntime that is used here, which its packages have in common. */
export interface Runtime {
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => RuntimeValue
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: object,
    ): Promise<{
      run(feeds: Readonly<Record<string, RuntimeValue>>): Promise<Readonly<Record<string, RuntimeValue>>>
      release(): Promise<void>
    }>
  }
}
interface RuntimeValue {
  readonly type: string
  readonly dims: readonly number[]
  readonly data: unknown
}

export async function runSteps(runtime: Runtime, provider: string, { model, carried, runs }: Job): Promise<Outcome> {
  const session = await runtime.InferenceSession.create(model, {
    executionProviders: [provider],
    graphOptimizationLevel: 'all',
    intraOpNumThreads: 1,
  })
  const values = (tensors: Tensors) =>
    Object.fromEntries(
      Object.entries(tensors).map(([name, { type, data, shape }]) => [name, new runtime.Tensor(type, data, shape)]),
    )
  const names = Object.keys(carried)
  let now = values(carried)
  const losses: number[] = []
  const runMs: number[] = []
  for (const feeds of runs) {
    const startedMs = performance.now()
    const results = await session.run({ ...values(feeds), ...now })
    runMs.push(performance.now() - startedMs)
    losses.push(Number((results['loss']?.data as Float32Array | undefined)?.[0]))
    now = Object.fromEntries(names.map((name) => [name, results[`${name}.next`] as RuntimeValue]))
  }
  await session.release()
  const last = Object.entries(now).map(([name, { type, dims, data }]) => [
    name,
    { type, shape: dims, data: data as ArrayBufferView },
  ])
  return { carried: Object.fromEntries(last) as Tensors, losses, runMs }
}

const arrays: Readonly<Record<string, new (buffer: ArrayBuffer) => ArrayBufferView>> = {
  float32: Float32Array,
  int32: Int32Array,
}

/** As text, with each array in base64. */
export function toText(value: Job | Outcome): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (!ArrayBuffer.isView(part)) return part
    const bytes = new Uint8Array(part.buffer, part.byteOffset, part.byteLength)
    let characters = ''
    for (let at = 0; at < bytes.length; at += 8192) {
      characters += String.fromCharCode(...bytes.subarray(at, at + 8192))
    }
    return { base64: btoa(characters) }
  })
}

export function fromText<T extends Job | Outcome>(text: string): T {
  return JSON.parse(text, (_key, part: unknown) => {
    if (typeof part !== 'object' || part === null) return part
    if ('base64' in part) return Uint8Array.from(atob(String(part.base64)), (character) => character.charCodeAt(0))
    if (!('data' in part && 'type' in part)) return part
    const make = arrays[String(part.type)]
    if (make === undefined) throw new Error(`a tensor of type ${String(part.type)}`)
    return { ...part, data: new make((part.data as Uint8Array<ArrayBuffer>).buffer) }
  }) as T
}
