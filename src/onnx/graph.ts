/**
 * Builds graphs step by step, each value with its type and shape. What does not fit is an error where it is written,
 * not when it runs.
 */
import { OwmError } from '../lib/index.ts'
import { liveSteps } from './live-steps.ts'
import {
  type Attribute,
  type Dimension,
  type ElementType,
  elementCount,
  elementTypes,
  type Graph,
  integersOf,
  type Model,
  opset,
  type Tensor,
  tensorOf,
} from './model.ts'
import { type AttributesOf, type OperatorName, operators, type Typed } from './operators/index.ts'
import { maxKnownElements } from './operators/known.ts'

export interface Value extends Typed {
  readonly name: string
}
/** One node of a graph, with its values. */
export interface Step {
  readonly op: OperatorName
  readonly name: string
  readonly inputs: readonly (Value | undefined)[]
  readonly outputs: readonly Value[]
  readonly attributes: Readonly<Record<string, unknown>>
}

export interface GraphBuilder {
  readonly inputs: readonly Value[]
  readonly steps: readonly Step[]
  readonly outputs: readonly { readonly name: string; readonly value: Value }[]
  input(name: string, type: ElementType, shape: readonly Dimension[]): Value
  initializer(name: string, tensor: Tensor): Value
  /** A constant; the same one is stored once. */
  constant(type: ElementType, shape: readonly number[], values: readonly number[]): Value
  /** A constant without axes. */
  scalar(type: ElementType, value: number): Value
  /** A constant vector of int64: axes, a shape. */
  integers(values: readonly number[]): Value
  op<K extends OperatorName>(op: K, inputs: readonly (Value | undefined)[], attributes?: AttributesOf<K>): Value
  /** The same for a node with several outputs. */
  ops<K extends OperatorName>(
    op: K,
    inputs: readonly (Value | undefined)[],
    attributes: AttributesOf<K>,
    count: number,
    label?: string,
  ): Value[]
  cast(value: Value, type: ElementType): Value
  output(name: string, value: Value): void
  graph(): Graph
  model(): Model
}

/** No single value is larger: 1 GiB of float32. */
const maxElements = 1 << 28

/** Sums and parts of named sizes are names of their own, up to this length. */
const maxSizeName = 512

/** `prefix` keeps a loop body's names apart from those around it. */
export function createGraphBuilder(name: string, prefix = ''): GraphBuilder {
  const taken = new Set<string>()
  const takenByNodes = new Set<string>()
  const inputs: Value[] = []
  const outputs: { readonly name: string; readonly value: Value }[] = []
  const initializers = new Map<string, Tensor>()
  const constants = new Map<string, Value>()
  const steps: Step[] = []

  const define = (valueName: string, typed: Typed): Value => {
    if (valueName === '' || taken.has(valueName)) {
      throw new OwmError('bad_graph', `The name "${valueName}" stands for two values.`)
    }
    if (typed.shape.some((size) => typeof size === 'string' && size.length > maxSizeName)) {
      throw new OwmError('bad_graph', `A size of the value "${valueName}" is too involved.`)
    }
    const elements = typed.shape.reduce<number>(
      (product, size) => (typeof size === 'number' ? product * size : product),
      1,
    )
    if (elements > maxElements) {
      throw new OwmError('oversized', `The value "${valueName}" of shape [${typed.shape.join(', ')}] is too large.`)
    }
    taken.add(valueName)
    return { ...typed, name: valueName }
  }
  // A file can give one name to all its nodes: the next free number is remembered, not searched for.
  const serials = new Map<string, number>()
  const freeName = (wanted: string): string => {
    let free = prefix + wanted
    for (let at = serials.get(free) ?? 1; taken.has(free); at++) {
      serials.set(prefix + wanted, at + 1)
      free = `${prefix}${wanted}_${at}`
    }
    return free
  }
  const initializer = (tensorName: string, tensor: Tensor): Value => {
    const known = elementCount(tensor.shape) <= maxKnownElements ? integersOf(tensor) : undefined
    const value = define(freeName(tensorName), { type: tensor.type, shape: tensor.shape, known })
    initializers.set(value.name, tensor)
    return value
  }
  const builder: GraphBuilder = {
    inputs,
    steps,
    outputs,
    input: (inputName, type, shape) => {
      const value = define(inputName, { type, shape })
      inputs.push(value)
      return value
    },
    initializer,
    constant: (type, shape, values) => {
      const key = `${type}[${shape.join()}]${values.join()}`
      const value = constants.get(key) ?? initializer(`constant_${constants.size}`, tensorOf(type, shape, values))
      constants.set(key, value)
      return value
    },
    scalar: (type, value) => builder.constant(type, [], [value]),
    integers: (values) => {
      if (!values.every(Number.isSafeInteger)) throw new OwmError('bad_graph', `[${values.join(', ')}] are no sizes.`)
      return builder.constant('int64', [values.length], values)
    },
    op: (op, operands, attributes) => builder.ops(op, operands, attributes ?? {}, 1)[0]!,
    ops: (op, operands, attributes, count, wanted) => {
      const label = wanted || `${op}_${steps.length}`
      let typed: readonly Typed[]
      try {
        typed = operators[op].infer(operands, attributes as never, count)
      } catch (error) {
        if (!(error instanceof OwmError)) throw error
        throw new OwmError(error.code, `${op} node ${label}: ${error.message}`, { op, node: label })
      }
      if (typed.length < count) throw new OwmError('bad_graph', `${op} node ${label} has no ${count} outputs.`)
      const results = Array.from({ length: count }, (_, at) =>
        define(freeName(count === 1 ? label : `${label}_${at}`), typed[at]!),
      )
      // Nodes have names of their own, which the runtime wants to be different too.
      let nodeName = prefix + label
      for (let at = steps.length; takenByNodes.has(nodeName); at++) nodeName = `${prefix}${label}_node_${at}`
      takenByNodes.add(nodeName)
      steps.push({ op, name: nodeName, inputs: operands, outputs: results, attributes })
      return results
    },
    cast: (value, type) => (value.type === type ? value : builder.op('Cast', [value], { to: elementTypes[type] })),
    output: (outputName, value) => {
      if (taken.has(outputName)) throw new OwmError('bad_graph', `The name "${outputName}" stands for two values.`)
      taken.add(outputName)
      outputs.push({ name: outputName, value })
    },
    graph: () => {
      // A value takes its output's name. One that has a name of its own (an input, two outputs) is copied: in a loop,
      // a copy of each weight in each step would be a tenth of the whole.
      const renamed = new Map<string, string>()
      const own = new Set([...inputs.map((value) => value.name), ...initializers.keys()])
      const copies: Step[] = []
      for (const { name: outputName, value } of outputs) {
        if (own.has(value.name) || renamed.has(value.name) || !taken.has(value.name)) {
          const copy = { ...value, name: outputName }
          copies.push({
            op: 'Identity',
            name: `${prefix}output_${outputName}`,
            inputs: [value],
            outputs: [copy],
            attributes: {},
          })
        } else renamed.set(value.name, outputName)
      }
      const nameOf = (value: Value | undefined): string =>
        value === undefined ? '' : (renamed.get(value.name) ?? value.name)
      return {
        name,
        inputs: inputs.map(({ name: inputName, type, shape }) => ({ name: inputName, type, shape })),
        outputs: outputs.map((output) => ({ name: output.name, type: output.value.type, shape: output.value.shape })),
        initializers,
        nodes: [...liveSteps(steps, outputs), ...copies].map((step) => ({
          op: step.op,
          name: step.name,
          inputs: step.inputs.map(nameOf),
          outputs: step.outputs.map(nameOf),
          attributes: attributesOf(step.op, step.attributes),
        })),
      }
    },
    model: () => ({ opset, graph: builder.graph() }),
  }
  return builder
}

function attributesOf(op: OperatorName, values: Readonly<Record<string, unknown>>): Record<string, Attribute> {
  const kinds: Readonly<Record<string, Attribute['kind']>> = operators[op].attributes
  const present = Object.entries(values).filter(([, value]) => value !== undefined)
  return Object.fromEntries(present.map(([key, value]) => [key, { kind: kinds[key], value } as Attribute]))
}
