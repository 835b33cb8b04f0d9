import { readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import { errorCode, errorMessage, OwmError } from '../lib/index.ts'
import type { Given } from './load.ts'
import { sections } from './settings.ts'
import { tomlLines } from './toml-lines.ts'
import { unknownKey, unknownSection } from './unknown.ts'

/** A configuration is a few kilobytes; this is a wrong file. */
const maxFileBytes = 1024 * 1024

/** What an `owm.toml` sets. Undefined when there is none and there need be none. @throws OwmError `bad_config` */
export function readConfigFile(path: string, { mustExist }: { readonly mustExist: boolean }): Given[] | undefined {
  const text = read(path, mustExist)
  if (text === undefined) return undefined
  const table = parseToml(path, text)
  const lines = tomlLines(text)
  const lineOf = (...names: readonly string[]): number | null =>
    names.map((name) => lines.get(name)).find((line) => line !== undefined) ?? null
  const place = (line: number | null): string => (line === null ? path : `${path}, line ${line}`)
  const base = dirname(path)

  return Object.entries(table).flatMap(([name, value]): Given[] => {
    const section = sections.find((section) => section.name === name)
    if (section === undefined) {
      throw isTable(value) ? unknownSection(place(lineOf(name)), name) : unknownKey(place(lineOf(name)), name)
    }
    if (!isTable(value)) {
      throw new OwmError('bad_config', `${place(lineOf(name))}: ${name} is a section; write [${name}].`, { key: name })
    }
    return Object.entries(value).map(([key, value]): Given => {
      const line = lineOf(`${name}.${key}`, name)
      const spec = section.settings.find((spec) => spec.key === key)
      if (spec === undefined) throw unknownKey(place(line), `${name}.${key}`)
      return { spec, value, source: { from: 'file', file: path, line }, base }
    })
  })
}

function read(path: string, mustExist: boolean): string | undefined {
  try {
    const { size } = statSync(path)
    if (size > maxFileBytes) throw new OwmError('bad_config', `${path} is too large for a configuration file.`)
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path))
  } catch (error) {
    if (error instanceof OwmError) throw error
    switch (errorCode(error)) {
      case 'ENOENT':
      case 'ENOTDIR':
        if (!mustExist) return undefined
        throw new OwmError('bad_config', `There is no configuration file ${path}.`)
      case 'EISDIR':
        throw new OwmError('bad_config', `${path} is a folder, not a configuration file.`)
      case 'ERR_ENCODING_INVALID_ENCODED_DATA':
        throw new OwmError('bad_config', `${path} is not UTF-8 text.`)
      default:
        throw new OwmError('bad_config', `The configuration file ${path} cannot be read: ${errorMessage(error)}.`)
    }
  }
}

function parseToml(path: string, text: string): Readonly<Record<string, unknown>> {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw new OwmError('bad_config', `${path}: ${errorMessage(error)}.`)
    // The parser's message goes on with the lines around the place, and those may hold anything.
    const why = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '')
    throw new OwmError('bad_config', `${path}, line ${error.line}, column ${error.column}: ${why}.`, {
      line: error.line,
      column: error.column,
    })
  }
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}
