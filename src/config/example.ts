import { type SettingSpec, sections } from './settings.ts'

const lineWidth = 100

/** `owm.toml.example`: every key with its meaning, and its default behind a `#` without a space. */
export function renderExample(): string {
  const lines = [
    '# The configuration of an OWM peer. Every key is here with its default; take away the # before a',
    '# key to change it. The peer reads owm.toml in its data directory (~/.owm), or the file that',
    '# --config or OWM_CONFIG names.',
    '#',
    '# Each key can also be given as an environment variable, OWM_SECTION_KEY (lists with commas), and',
    '# on the command line, --set section.key=value. A flag wins over a variable, a variable over this',
    '# file. Relative paths begin at the folder of this file.',
  ]
  for (const section of sections) {
    lines.push('', ...comment(section.doc), `[${section.name}]`)
    for (const spec of section.settings) {
      lines.push('', ...comment(spec.doc), ...comment(`It is ${spec.expects}.`), `#${spec.key} = ${toml(spec.default)}`)
    }
  }
  return `${lines.join('\n')}\n`
}

/** The tables of `docs/configuration.md`, in Markdown. */
export function renderReference(): string {
  return sections
    .map((section) => {
      const rows = section.settings.map(
        (spec) =>
          `| \`${spec.key}\` | ${cell(`\`${toml(spec.default)}\``)} | ${cell(meaning(spec))} | \`${spec.variable}\` |`,
      )
      const head = '| key | default | meaning | variable |\n| --- | --- | --- | --- |'
      return `### [${section.name}]\n${section.doc}\n\n${head}\n${rows.join('\n')}\n`
    })
    .join('\n')
}

function meaning(spec: SettingSpec): string {
  return `${spec.doc} It is ${spec.expects}.`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

/** Strings and lists of strings, numbers and booleans are written alike in JSON and TOML. */
function toml(value: unknown): string {
  return Array.isArray(value) ? `[${value.map(toml).join(', ')}]` : JSON.stringify(value)
}

function comment(text: string): string[] {
  const lines: string[] = []
  let line = '#'
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > lineWidth) {
      lines.push(line)
      line = '#'
    }
    line += ` ${word}`
  }
  return [...lines, line]
}
