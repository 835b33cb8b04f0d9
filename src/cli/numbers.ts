/** Numbers on the command line. */
import { InvalidArgumentError } from 'commander'

export function integerBetween(low: number, high = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (Number.isInteger(value) && value >= low && value <= high && text.trim() !== '') return value
    const end = high === Number.MAX_SAFE_INTEGER ? '' : ` to ${high}`
    throw new InvalidArgumentError(`Give a whole number from ${low}${end}.`)
  }
}

export interface Range {
  readonly above?: number
  readonly from?: number
  readonly below?: number
}

export function numberIn(range: Range): (text: string) => number {
  const { above = Number.NEGATIVE_INFINITY, from = Number.NEGATIVE_INFINITY, below = Number.POSITIVE_INFINITY } = range
  return (text) => {
    const value = Number(text)
    if (value > above && value >= from && value < below && text.trim() !== '') return value
    const ends = Object.entries(range).map(([end, at]) => `${end} ${at}`)
    throw new InvalidArgumentError(`Give a number ${ends.join(' and ')}.`)
  }
}
