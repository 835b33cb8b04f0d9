/** HTML that is safe to send: made by `html` alone. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

type Part = Markup | string | number | null | undefined | false | readonly Part[]

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Control characters but line breaks and tabs, and what turns the direction of the text around it. */
const invisible = /[^\P{Cc}\n\t]|\p{Bidi_Control}/gu

/** A template whose values are escaped, for text and for quoted attributes; `Markup` and lists of it go in as they are. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(strings.map((string, i) => string + (i < parts.length ? textOf(parts[i]) : '')).join(''))
}

function textOf(part: Part): string {
  if (part === null || part === undefined || part === false) return ''
  if (part instanceof Markup) return part.text
  if (typeof part === 'object') return part.map(textOf).join('')
  return String(part)
    .replace(invisible, '')
    .replace(/[&<>"']/g, (character) => escapes[character] ?? '')
}
