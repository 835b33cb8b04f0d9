/** Where an axis has its labels, and how numbers are rounded on it. */
export interface Tick {
  readonly value: number
  readonly label: string
}

const suffixes = ['', 'k', 'M', 'G', 'T']
/** More decimals than this say less than an exponent. */
const mostDecimals = 4

/** Multiples of 1, 2 or 5 times a power of ten, at most about `most`; two at least, where `least` allows it. */
export function linearTicks(low: number, high: number, most: number, least = 0): Tick[] {
  const wanted = Math.max(1, most)
  let power = Math.floor(Math.log10((high - low) / wanted))
  let parts = [1, 2, 5].findIndex((part) => part * 10 ** power * wanted >= high - low)
  if (parts < 0) [parts, power] = [0, power + 1]
  for (;;) {
    const step = [1, 2, 5][parts]! * 10 ** power
    const ticks = step < least ? multiples(low, high, least) : multiples(low, high, step)
    if (ticks.length > 1 || step <= least) return ticks
    ;[parts, power] = parts === 0 ? [2, power - 1] : [parts - 1, power]
  }
}

function multiples(low: number, high: number, step: number): Tick[] {
  const first = Math.ceil(low / step - 1e-9)
  const count = Math.floor(high / step + 1e-9) - first + 1
  return Array.from({ length: Math.max(0, count) }, (_, i) => {
    const value = (first + i) * step
    return { value, label: axisLabel(value, step) }
  })
}

/** `low`, `high` and the ticks' values are logarithms to the base of ten. */
export function logTicks(low: number, high: number, most: number): Tick[] {
  const fine = powers(low, high, [1, 2, 5], 1)
  if (fine.length < 2) {
    const ticks = linearTicks(10 ** low, 10 ** high, most / 2).filter(({ value }) => value > 0)
    return ticks.map(({ value, label }) => ({ value: Math.log10(value), label }))
  }
  return fine.length <= most ? fine : powers(low, high, [1], Math.max(1, Math.ceil((high - low) / most)))
}

function powers(low: number, high: number, parts: readonly number[], every: number): Tick[] {
  const ticks: Tick[] = []
  for (let power = Math.floor(low); power <= high; power += every) {
    for (const part of parts) {
      const value = power + Math.log10(part)
      if (value < low - 1e-9 || value > high + 1e-9) continue
      ticks.push({ value, label: axisLabel(part * 10 ** power, 10 ** power) })
    }
  }
  return ticks
}

/** With as many digits as tell it from its neighbours, `step` away: `0.25`, `12`, `1.5k`, `3.2e-7`. */
export function axisLabel(value: number, step: number): string {
  // A multiple of a step is rarely exact.
  if (Math.abs(value) < step / 2) return '0'
  const size = Math.abs(value)
  const decimals = (unit: number): number => Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9))
  if (size >= 1000 && size < 1e15) {
    const thousands = Math.min(suffixes.length - 1, Math.floor(Math.log10(size * (1 + 1e-9)) / 3))
    const unit = 1000 ** thousands
    if (decimals(unit) <= 3) return `${Number((value / unit).toFixed(decimals(unit)))}${suffixes[thousands]}`
  }
  if (size < 1e15 && decimals(1) <= mostDecimals) return value.toFixed(decimals(1))
  const digits = Math.floor(Math.log10(size) + 1e-9) - Math.floor(Math.log10(step) + 1e-9)
  return value.toExponential(Math.min(6, Math.max(0, digits))).replace('e+', 'e')
}
