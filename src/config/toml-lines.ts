/**
 * The line on which each table and key of a TOML document stands, by dotted name, for messages: the parser keeps no
 * positions. The document must have been parsed already; of one that is not TOML the result means nothing.
 */
export function tomlLines(toml: string): ReadonlyMap<string, number> {
  const lines = new Map<string, number>()
  let table: string[] = []
  let at = 0
  while (at < toml.length) {
    at = skip(toml, at, /[\s\ufeff]*/y)
    const line = lineAt(toml, at)
    if (toml[at] === '#') {
      at = skip(toml, at, /[^\n]*/y)
    } else if (toml[at] === '[') {
      const header = readKey(toml, skip(toml, at, /\[+/y))
      table = header.parts
      note(lines, table, line)
      at = skip(toml, header.end, /[^\n]*/y)
    } else if (at < toml.length) {
      const key = readKey(toml, at)
      note(lines, [...table, ...key.parts], line)
      at = endOfValue(toml, skip(toml, key.end, /=?/y))
    }
  }
  return lines
}

/** A name and all that it is in: `a.b.c` also says where `a` and `a.b` first appear. */
function note(lines: Map<string, number>, parts: readonly string[], line: number): void {
  for (let length = 1; length <= parts.length; length++) {
    const name = parts.slice(0, length).join('.')
    if (!lines.has(name)) lines.set(name, line)
  }
}

/** A bare, quoted or dotted key, up to the `=` or `]` after it. */
function readKey(toml: string, from: number): { parts: string[]; end: number } {
  const parts: string[] = []
  let at = skip(toml, from, /[ \t]*/y)
  for (;;) {
    const end = toml[at] === '"' || toml[at] === "'" ? endOfString(toml, at) : skip(toml, at, /[^\s.=\]#]+/y)
    if (end === at) return { parts, end: at + 1 }
    parts.push(unquoted(toml.slice(at, end)))
    at = skip(toml, end, /[ \t]*/y)
    if (toml[at] !== '.') return { parts, end: at }
    at = skip(toml, at + 1, /[ \t]*/y)
  }
}

/** A value ends with its line, unless a bracket, a brace or a string is open. */
function endOfValue(toml: string, from: number): number {
  let depth = 0
  let at = from
  while (at < toml.length) {
    const character = toml[at]
    if (character === '"' || character === "'") {
      at = endOfString(toml, at)
      continue
    }
    if (character === '#') at = skip(toml, at, /[^\n]*/y)
    if (character === '[' || character === '{') depth++
    if (character === ']' || character === '}') depth--
    if (toml[at] === '\n' && depth <= 0) return at
    at++
  }
  return at
}

function endOfString(toml: string, from: number): number {
  const quote = toml[from] ?? ''
  const long = toml.startsWith(quote.repeat(3), from)
  const fence = long ? quote.repeat(3) : quote
  let at = from + fence.length
  while (at < toml.length && !toml.startsWith(fence, at)) at += quote === '"' && toml[at] === '\\' ? 2 : 1
  at += fence.length
  // Up to two quotes may stand right before the closing three.
  while (long && toml[at] === quote) at++
  return at
}

function unquoted(key: string): string {
  return /^["']/.test(key) ? key.slice(1, -1) : key
}

function skip(text: string, at: number, pattern: RegExp): number {
  pattern.lastIndex = at
  return at + (pattern.exec(text)?.[0].length ?? 0)
}

function lineAt(text: string, at: number): number {
  let line = 1
  for (let i = text.indexOf('\n'); i !== -1 && i < at; i = text.indexOf('\n', i + 1)) line++
  return line
}
