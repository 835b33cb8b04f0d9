/** Numbers as people read them while they change. */

/** `12,300` */
export function whole(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: 0 })
}

/** Three digits: `0.52`, `9.41`, `94.1k`, `2.00M`. */
export function compact(value: number): string {
  const unit = value >= 999_500 ? 1e6 : value >= 999.5 ? 1e3 : 1
  const scaled = value / unit
  return `${scaled.toFixed(scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2)}${unit === 1e6 ? 'M' : unit === 1e3 ? 'k' : ''}`
}

/** A loss: four decimals, or three digits where those would be zeros. */
export function loss(value: number): string {
  return Number.isFinite(value) && value !== 0 && Math.abs(value) < 0.01 ? value.toPrecision(3) : value.toFixed(4)
}

/** `42 s`, `3:07 min`, `2:15 h`, `3.4 days` */
export function duration(seconds: number): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const rounded = Math.round(seconds)
  if (rounded < 60) return `${rounded} s`
  const minutes = Math.floor(rounded / 60)
  if (minutes < 60) return `${minutes}:${two(rounded % 60)} min`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours}:${two(minutes % 60)} h` : `${(hours / 24).toFixed(1)} days`
}
