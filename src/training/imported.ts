/**
 * Makes a model from any exporter trainable: an ONNX file of operator sets 13 to 21 whose operators have gradient rules.
 *
 * @example
 * const model = importModel(await readModelFile('resnet.onnx'), { freeze: ['conv1.*', 'layer1.*'] })
 * const parameters = model.initial(0) // the file's own
 * // ... train them with `classification(model.model)` ...
 * await saveTrained('tuned.onnx', model, parameters)
 */
import { OwmError } from '../lib/index.ts'
import {
  type Dimension,
  dataInput,
  elementTypes,
  type Graph,
  type GraphBuilder,
  importGraph,
  logitsOutput,
  type ModelFile,
  openModelFile,
  opset,
  parameterLayout,
  type Tensor,
  tokensInput,
  type Value,
} from '../onnx/index.ts'
import type { TrainableModel } from './define-model.ts'
import { transposedTables } from './tied-weights.ts'
import { type Choice, chooseTrainable } from './trainable-weights.ts'
import { weightNames } from './weight-names.ts'

export interface ImportOptions extends Choice {
  /** The output that is trained, by the file's name; by default its first of floats. */
  readonly logits?: string
  /** Numbers for the file's named sizes, which operators that are unrolled or padded need. */
  readonly sizes?: Readonly<Record<string, number>>
}

/**
 * Its graph takes `inputs` float32 or `tokens` int32, and gives `logits`; further inputs keep their names. Sizes that
 * the file leaves open are called `batch` and, of tokens, `sequence`.
 */
export interface ImportedModel extends TrainableModel {
  readonly file: ModelFile
  /** What the data input and the output are called in the file. */
  readonly names: { readonly input: string; readonly output: string }
  /** What each weight is called in the file: the same, but for those that the exporter only numbered. */
  readonly fileNames: ReadonlyMap<string, string>
  /** Weights of the file that stay as they are. They are views into the file. */
  readonly frozen: readonly string[]
  /** Weights that the file has as float16 or bfloat16: trained as float32, and rounded when they are written. */
  readonly narrow: readonly string[]
  /** Copies that exporters made of a table, turned round, by the table's name: one weight still. */
  readonly ties: ReadonlyMap<string, string>
}

/**
 * @param source a file that was read (`readModelFile`, for files with external data), or the bytes of one
 * @throws OwmError `unsupported_model` naming the operator and node that is not known, `no_gradient` naming those that
 *   have no rule, `no_such_parameter`, `bad_graph`, `malformed_model`, `oversized`
 */
export function importModel(source: Uint8Array | ModelFile, options: ImportOptions = {}): ImportedModel {
  const file = source instanceof Uint8Array ? openModelFile(source) : source
  const { graph } = file.model
  const output = outputOf(graph, options.logits)
  const inputs = graph.inputs.filter(({ name }) => !graph.initializers.has(name))
  const input = inputs.find(({ type }) => type === 'float32') ?? inputs[0]
  if (input === undefined) throw new OwmError('unsupported_model', 'This model has no input.')
  const ties = transposedTables(graph)
  const better = weightNames(graph, file.model.scopes)
  const { builder, value } = opened(file, { input, output, ties, better, sizes: options.sizes ?? {} })

  const used = new Set(builder.steps.flatMap((step) => step.inputs.map((operand) => operand?.name)))
  const fileNames = new Map<string, string>()
  const weights = new Map<string, Tensor>()
  for (const [fileName, tensor] of graph.initializers) {
    const name = better.get(fileName) ?? fileName
    if (tensor.type !== 'float32' || ties.has(fileName) || !used.has(name)) continue
    weights.set(name, tensor)
    fileNames.set(name, fileName)
  }
  const chosen = new Set(chooseTrainable(builder, value, weights, options))
  if (chosen.size === 0) throw new OwmError('no_such_parameter', 'Nothing of this model is to be trained.')
  builder.output(logitsOutput, value)
  const trained = withInputs(builder.graph(), weights, chosen)
  const model = { opset, graph: trained }
  const layout = parameterLayout(model)
  return {
    model,
    layout,
    initial: () => {
      const parameters = new Float32Array(layout.length)
      const bytes = new Uint8Array(parameters.buffer)
      for (const { name, offset } of layout.entries) bytes.set(weights.get(name)!.data, offset * 4)
      return parameters
    },
    file,
    names: { input: input.name, output },
    fileNames,
    frozen: [...weights.keys()].filter((name) => !chosen.has(name)),
    narrow: [...fileNames].flatMap(([name, fileName]) => (isNarrow(file, fileName) ? [name] : [])),
    ties,
  }
}

function outputOf(graph: Graph, wanted: string | undefined): string {
  const output = graph.outputs.find(({ name, type }) => (wanted === undefined ? type === 'float32' : name === wanted))
  if (output?.type === 'float32') return output.name
  const names = graph.outputs.map(({ name, type }) => `${name} (${type})`).join(', ')
  throw new OwmError('unsupported_model', `This model has no output ${wanted ?? 'of floats'}, but ${names}.`)
}

const isNarrow = ({ model }: ModelFile, fileName: string): boolean =>
  model.stored.get(fileName)?.type !== elementTypes.float32

interface Opening {
  readonly input: Graph['inputs'][number]
  readonly output: string
  readonly ties: ReadonlyMap<string, string>
  readonly better: ReadonlyMap<string, string>
  readonly sizes: Readonly<Record<string, number>>
}

/** A batch whose size the file fixes is opened, if the graph can do with any. */
function opened(file: ModelFile, opening: Opening): { readonly builder: GraphBuilder; readonly value: Value } {
  const { input } = opening
  const fixed = typeof input.shape[0] === 'number'
  try {
    const open = graphOf(file, opening, true)
    if (!fixed || open.value.shape[0] === 'batch') return open
  } catch (error) {
    if (!fixed) throw hinted(error, opening)
  }
  return graphOf(file, opening, false)
}

/** Exporters write an example's size into a graph whose inputs they leave open. */
function hinted(error: unknown, { input, sizes }: Opening): unknown {
  const open = input.shape.slice(1).filter((size) => typeof size === 'string' && !Object.hasOwn(sizes, size))
  if (!(error instanceof OwmError) || error.code !== 'bad_graph' || open.length === 0) return error
  const message = `${error.message} Perhaps the file is for one size alone: give it with \`sizes\` (${open.join(', ')}).`
  return new OwmError(error.code, message, error.details, error)
}

function graphOf(file: ModelFile, { input, output, ties, better, sizes }: Opening, openBatch: boolean) {
  const { initializers } = file.model.graph
  const whole = input.type === 'int64' || input.type === 'int32'
  const names = new Map<Dimension, Dimension>()
  const [batch, sequence] = input.shape
  if (typeof batch === 'string') names.set(batch, 'batch')
  if (whole && input.shape.length === 2 && typeof sequence === 'string') names.set(sequence, 'sequence')
  const sizeOf = (size: Dimension): Dimension => {
    const name = names.get(size) ?? size
    const given = [size, name].find((key) => typeof key === 'string' && Object.hasOwn(sizes, key))
    return given === undefined ? name : sizes[given]!
  }
  const made = new Map<string, Value>()
  const initializer = (g: GraphBuilder, name: string): Value => {
    const before = made.get(name)
    if (before !== undefined) return before
    const table = ties.get(name)
    const value =
      table === undefined
        ? g.initializer(better.get(name) ?? name, initializers.get(name)!)
        : g.ops('Transpose', [initializer(g, table)], { perm: [1, 0] }, 1, name)[0]!
    made.set(name, value)
    return value
  }
  const { builder, outputs } = importGraph(file.model, {
    outputs: [output],
    reserved: [logitsOutput],
    initializer,
    input: (g, given) => {
      const shape = given.shape.map(sizeOf)
      if (given.name !== input.name) return g.input(given.name, given.type, shape)
      const opened = openBatch && typeof batch === 'number' ? ['batch', ...shape.slice(1)] : shape
      const own = g.input(whole ? tokensInput : dataInput, whole ? 'int32' : given.type, opened)
      return g.cast(own, given.type)
    },
  })
  return { builder, value: outputs.get(output)! }
}

/** The graph with the chosen weights as inputs, in the file's order, and without constants that nothing uses. */
function withInputs(graph: Graph, weights: ReadonlyMap<string, Tensor>, chosen: ReadonlySet<string>): Graph {
  const used = new Set([...graph.nodes.flatMap(({ inputs }) => inputs), ...graph.outputs.map(({ name }) => name)])
  const parameters = [...weights].filter(([name]) => chosen.has(name))
  const constants = [...graph.initializers].filter(([name]) => used.has(name) && !chosen.has(name))
  const inputs = parameters.map(([name, { shape }]) => ({ name, type: 'float32', shape }) as const)
  return { ...graph, inputs: [...graph.inputs, ...inputs], initializers: new Map(constants) }
}
