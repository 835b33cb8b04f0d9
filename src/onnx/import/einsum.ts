/**
 * Einstein sums as products of matrices: of two operands, the axes fall into those of both and of the result (a batch),
 * those that are summed over, and those of one operand alone. More operands go two at a time.
 */
import { OwmError } from '../../lib/index.ts'
import type { Value } from '../graph.ts'
import { type Conversion, type ForeignNode, inputOf, op, reshaped, stringOf, transposed } from './node.ts'

/** A value whose axes have labels. */
interface Labelled {
  readonly value: Value
  readonly labels: readonly string[]
}

export const einsum: Conversion = (c) => {
  const { terms, result } = parsed(c, stringOf(c, 'equation', ''))
  const operands = terms.map((labels, at) => {
    const value = inputOf(c, at)
    if (value.shape.length !== labels.length) throw malformed(`input ${at} has ${value.shape.length} axes`)
    return { value, labels }
  })
  const needed = (from: number): Set<string> => new Set([...result, ...operands.slice(from).flatMap((o) => o.labels)])
  const joined = operands
    .slice(1)
    .reduce<Labelled>((a, b, at) => product(c, a, b, needed(at + 2)), summed(c, operands[0]!, needed(1)))
  return [inOrder(c, summed(c, joined, new Set(result)), result).value]
}

/** `bij,bjk->bik`; `...` stands for as many axes as are left. */
function parsed(c: ForeignNode, equation: string): { terms: string[][]; result: string[] } {
  const [left = '', right] = equation.replaceAll(' ', '').split('->')
  const sides = left.split(',')
  if (sides.length !== c.inputs.length) throw malformed(`"${equation}" for ${c.inputs.length} inputs`)
  const letters = (side: string): number => side.replace('...', '').length
  const open = Math.max(0, ...sides.map((side, at) => inputOf(c, at).shape.length - letters(side)))
  const labelsOf = (side: string, axes: number): string[] =>
    side.split('...').flatMap((text, at) => [
      // The last of the open axes are the same in all operands.
      ...(at === 0 ? [] : Array.from({ length: axes }, (_, i) => `.${open - axes + i}`)),
      ...text,
    ])
  const terms = sides.map((side, at) => labelsOf(side, inputOf(c, at).shape.length - letters(side)))
  for (const labels of terms) {
    if (new Set(labels).size < labels.length) {
      throw new OwmError('unsupported_model', `"${equation}" takes a diagonal, which is not supported.`)
    }
  }
  const all = terms.flat()
  // Without a right side: the open axes, then what occurs once, in the alphabet's order.
  const once = [...new Set(all)].filter((label) => label.length > 1 || all.indexOf(label) === all.lastIndexOf(label))
  return { terms, result: right === undefined ? once.sort() : labelsOf(right, open) }
}

/** Sums over the axes that nothing needs any more. */
function summed(c: ForeignNode, { value, labels }: Labelled, needed: ReadonlySet<string>): Labelled {
  const axes = labels.flatMap((label, axis) => (needed.has(label) ? [] : [axis]))
  if (axes.length === 0) return { value, labels }
  const sum = op(c, 'ReduceSum', [value, c.g.integers(axes)], { keepdims: 0 })
  return { value: sum, labels: labels.filter((label) => needed.has(label)) }
}

function inOrder(c: ForeignNode, { value, labels }: Labelled, wanted: readonly string[]): Labelled {
  const perm = wanted.map((label) => labels.indexOf(label))
  if (perm.includes(-1) || perm.length !== labels.length)
    throw malformed(`[${wanted.join('')}] of [${labels.join('')}]`)
  return { value: transposed(c, value, perm), labels: wanted }
}

function product(c: ForeignNode, left: Labelled, right: Labelled, needed: ReadonlySet<string>): Labelled {
  const a = summed(c, left, new Set([...right.labels, ...needed]))
  const b = summed(c, right, new Set([...left.labels, ...needed]))
  const shared = a.labels.filter((label) => b.labels.includes(label))
  const batch = shared.filter((label) => needed.has(label))
  const inner = shared.filter((label) => !needed.has(label))
  const rows = a.labels.filter((label) => !shared.includes(label))
  const columns = b.labels.filter((label) => !shared.includes(label))
  const x = matrices(c, a, batch, rows, inner)
  const y = matrices(c, b, batch, inner, columns)
  const z = op(c, 'MatMul', [x, y])
  // The rows and columns apart again; one of all these sizes may be unknown.
  const sizes = [...rows.map((label) => sizeIn(a, label)), ...columns.map((label) => sizeIn(b, label))]
  const labels = [...batch, ...rows, ...columns]
  if (rows.length === 1 && columns.length === 1) return { value: z, labels }
  return { value: withSizes(c, z, batch.length, sizes), labels }
}

/** [batch..., rows, columns], each of the last two being any number of axes. */
function matrices(
  c: ForeignNode,
  operand: Labelled,
  batch: readonly string[],
  rows: readonly string[],
  columns: readonly string[],
): Value {
  const { value } = inOrder(c, operand, [...batch, ...rows, ...columns])
  if (rows.length === 1 && columns.length === 1) return value
  const product = (labels: readonly string[]): (number | string)[] => {
    const sizes = labels.map((label) => sizeIn(operand, label))
    const numbers = sizes.filter((size) => typeof size === 'number')
    return numbers.length === sizes.length ? [numbers.reduce((all, size) => all * size, 1)] : ['open']
  }
  return withSizes(c, value, batch.length, [...product(rows), ...product(columns)])
}

/** Keeps the first axes, and gives the rest these sizes, of which one may be unknown. */
function withSizes(c: ForeignNode, value: Value, kept: number, sizes: readonly (number | string)[]): Value {
  const numbers = sizes.map((size) => (typeof size === 'number' ? size : -1))
  if (numbers.filter((size) => size === -1).length > 1) {
    throw new OwmError('bad_graph', 'It needs more sizes as numbers: give them with `sizes`.')
  }
  return reshaped(c, value, [...Array.from({ length: kept }, () => 0), ...numbers])
}

const sizeIn = ({ value, labels }: Labelled, label: string): number | string => value.shape[labels.indexOf(label)]!

function malformed(what: string): OwmError {
  return new OwmError('bad_graph', `An Einstein sum that does not fit: ${what}.`)
}
