/**
 * What a gradient rule is, and what rules share. Rules are data, one per operator: for each input, how its gradient
 * follows from the gradients of the outputs. An input without a rule (an index, a shape, a mask) takes no gradient.
 * Shapes are static here.
 */
import { type GraphBuilder, type OperatorName, type Step, staticShape, type Value } from '../../onnx/index.ts'

export interface RuleContext {
  readonly g: GraphBuilder
  readonly step: Step
  /** The gradient of the first output. */
  readonly dy: Value
  /** The gradients of all outputs; undefined where nothing depends on one. */
  readonly gradients: readonly (Value | undefined)[]
}
export type Rule = (context: RuleContext) => Value
/** Rules in the order of the inputs, or one for every input of an operator that takes any number. */
export type InputRules = readonly (Rule | undefined)[] | ((at: number) => Rule)
export type RuleTable = Readonly<Partial<Record<OperatorName, InputRules>>>

export function input({ step }: RuleContext, at: number): Value {
  const value = step.inputs[at]
  if (value === undefined) throw new Error(`${step.op} has no input ${at}`)
  return value
}
export function output({ step }: RuleContext): Value {
  return step.outputs[0]!
}
/** A node's attribute, or what it is by default. */
export function attribute<T>({ step }: RuleContext, name: string, otherwise: T): T {
  return (step.attributes[name] as T | undefined) ?? otherwise
}
export function shapeOf(value: Value): number[] {
  return staticShape(value.shape)
}
/** How many elements a value has. */
export function size(value: Value): number {
  return shapeOf(value).reduce((product, length) => product * length, 1)
}
export function reshape(g: GraphBuilder, value: Value, shape: readonly number[]): Value {
  return g.op('Reshape', [value, g.integers(shape)])
}
/** An axis counted from the front. */
export function fromFront(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis
}
/** The content of an input of integers that is known: axes, sizes. */
export function integersAt({ step }: RuleContext, at: number): number[] | undefined {
  return step.inputs[at]?.known as number[] | undefined
}
/** The constant in the gradient's type. */
export function constantLike({ g, dy }: RuleContext, value: number): Value {
  return g.scalar(dy.type, value)
}
export function zeros(g: GraphBuilder, type: Value['type'], shape: readonly number[]): Value {
  return g.op('Expand', [g.scalar(type, 0), g.integers(shape)])
}

/** Sums over the axes along which something of the shape of `like` was repeated to get to the shape of `value`. */
export function unbroadcast(g: GraphBuilder, value: Value, like: Value): Value {
  const [from, to] = [shapeOf(value), shapeOf(like)]
  const lead = from.length - to.length
  const axes = from.flatMap((length, axis) => (axis < lead || (to[axis - lead] === 1 && length !== 1) ? [axis] : []))
  if (axes.length === 0) return value
  const sum = g.op('ReduceSum', [value, g.integers(axes)], { keepdims: 1 })
  return lead === 0 ? sum : reshape(g, sum, to)
}

/** dx = dy factor, for an input that may have been broadcast. */
export const times =
  (at: number, factor: (context: RuleContext) => Value): Rule =>
  (c) =>
    unbroadcast(c.g, c.g.op('Mul', [c.dy, factor(c)]), input(c, at))
/** dx = dy, for an input that may have been broadcast. */
export const pass =
  (at: number): Rule =>
  (c) =>
    unbroadcast(c.g, c.dy, input(c, at))
/** dy where a condition holds, elsewhere 0. */
export function masked(c: RuleContext, condition: Value, at: number): Value {
  return unbroadcast(c.g, c.g.op('Mul', [c.dy, c.g.cast(condition, c.dy.type)]), input(c, at))
}
