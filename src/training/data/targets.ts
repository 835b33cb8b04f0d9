/** What is to be told of an example: one of several classes, or a number. */
import { absentCell, type ColumnSummary, numberOf } from './columns.ts'
import type { Field } from './dataset.ts'
import { malformed } from './malformed.ts'

export interface Targets {
  readonly field: Field
  readonly classes?: readonly string[]
  readonly about: string
  /** Undefined where the cell names none: the example is left out. */
  valueOf(cell: string): number | undefined
}

/** Whole numbers with more different values are taken for quantities. */
const maxNumberClasses = 64

/** @throws OwmError `malformed_data` where the column does not serve */
export function targetsOf(
  file: string,
  column: ColumnSummary,
  task: 'classification' | 'regression' | undefined,
): Targets {
  const few = column.values.length > 0 && column.values.length <= maxNumberClasses
  const chosen = task ?? (column.kind === 'number' && !(column.whole && few) ? 'regression' : 'classification')
  if (chosen === 'regression') {
    if (column.kind !== 'number')
      throw malformed(file, `column ${column.name}`, 'it has words, and a number is asked for.')
    const { mean, deviation } = column
    return {
      field: { name: 'targets', type: 'float32', shape: [] },
      about: `${column.name} (mean ${mean.toPrecision(4)}, deviation ${deviation.toPrecision(4)})`,
      valueOf: (cell) => {
        const value = numberOf(cell)
        return value === undefined ? undefined : (value - mean) / deviation
      },
    }
  }
  // Of numbers, 1 and 1.0 are one class.
  const nameOf = (cell: string): string => (column.kind === 'number' ? `${numberOf(cell)}` : cell)
  const classes = [...new Set(column.values.filter((value) => !absentCell(value)).map(nameOf))]
  if (classes.length === 0)
    throw malformed(file, `column ${column.name}`, 'it has too many different values for classes.')
  const numbers = new Map(classes.map((name, number) => [name, number]))
  return {
    field: { name: 'targets', type: 'int32', shape: [], values: classes.length },
    classes,
    about: `${column.name}, ${classes.length} classes`,
    valueOf: (cell) => numbers.get(nameOf(cell)),
  }
}
