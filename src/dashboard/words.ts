/** How ids, names and figures are written on the page. */

/** Longest stranger's text shown; more is cut. */
const maxNameCharacters = 40

/** A stranger's text made harmless to read: no control or direction characters, and not too long. Escaping comes later. */
export function cleanName(text: string, maxCharacters = maxNameCharacters): string {
  const visible = text.slice(0, maxCharacters * 8).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '')
  const characters = [...visible]
  return characters.length > maxCharacters ? `${characters.slice(0, maxCharacters - 1).join('')}…` : visible
}

/** The end of a peer id: its beginning is the same for all. */
export function shortPeer(id: string): string {
  return cleanName(id.slice(-24)).slice(-6)
}

/** `bafyreigh2a…x7k2q`: enough to recognise, with the whole beside it. */
export function shortCid(cid: string): string {
  const clean = cleanName(cid, 128)
  return clean.length <= 14 ? clean : `${clean.slice(0, 7)}…${clean.slice(-5)}`
}

export function bits(value: number | null, digits = 3): string {
  return value === null || !Number.isFinite(value) ? '–' : value.toFixed(digits)
}

/** What a run's losses are told in; of text, before anything is known of a run. */
export function unitWords(unit: string | undefined): string {
  return unit === undefined || unit === 'bits/byte' ? 'bits per byte' : unit
}

/** `, 97.1 % right`, where answers are right or wrong. */
export function accuracyWords(accuracy: number | null): string {
  return accuracy === null ? '' : `, ${(100 * accuracy).toFixed(1)} % right`
}

/** `4.2 s`, `3 min 20 s`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–'
  if (seconds < 99.95) return `${seconds.toFixed(1)} s`
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
}

/** `12,345`. */
export function count(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString('en-US') : '–'
}

export function plural(amount: number, one: string, many = `${one}s`): string {
  return `${count(amount)} ${amount === 1 ? one : many}`
}

/** `12:30:01`, in UTC; the page's script turns it into the reader's time. */
export function timeOfDay(ms: number): string {
  return isoTime(ms).slice(11, 19)
}

/** Any number as a time that a `datetime` attribute takes. */
export function isoTime(ms: number): string {
  return new Date(Number.isFinite(ms) ? Math.min(Math.max(ms, 0), 8e15) : 0).toISOString()
}
