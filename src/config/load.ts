import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { OwmError } from '../lib/index.ts'
import { readConfigFile } from './file.ts'
import type { Config, Source } from './index.ts'
import { editDistance, nearest } from './nearest.ts'
import type { ConfigValues, SettingName } from './schema.ts'
import { type SettingSpec, specs } from './settings.ts'
import { unknownKey } from './unknown.ts'

export interface LoadOptions {
  /** A file that was named: it must exist. Else `OWM_CONFIG` names one, else `owm.toml` in the data directory is read if there. */
  readonly file?: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  /** By name, `network.listen`: a value, or text as `--set` gives it. Undefined ones are not set. */
  readonly flags?: Readonly<Record<string, unknown>>
  /** Where relative paths of variables and flags begin. */
  readonly cwd?: string
}

/** A value that was given, before it is checked. */
export interface Given {
  readonly spec: SettingSpec
  readonly value: unknown
  readonly source: Source
  /** Where relative paths begin. */
  readonly base: string
}

/** Variables that are no setting: where the settings are, a short name, tests, and stack traces. */
const configVariable = 'OWM_CONFIG'
const dataDirVariable = 'OWM_DATA_DIR'
const otherVariables: readonly string[] = [configVariable, dataDirVariable, 'OWM_DEBUG']
const testPrefix = 'OWM_TEST_'

/**
 * @throws OwmError `bad_config`, one sentence that names the key and where it stands
 */
export function loadConfig({ file, env, flags = {}, cwd = process.cwd() }: LoadOptions): Config {
  const home = env['HOME'] || homedir()
  const early = [...fromEnvironment(env, cwd), ...fromFlags(flags, cwd)]
  const named = file ?? (env[configVariable] || undefined)
  const path = named === undefined ? join(earlyDataDir(early, home), 'owm.toml') : resolvePath(named, cwd, home)
  const fromFile = readConfigFile(path, { mustExist: named !== undefined })

  const values: Record<string, Record<string, unknown>> = {}
  const sources: Record<string, Source> = {}
  for (const spec of specs) {
    const given: Given = { spec, value: spec.default, source: { from: 'default' }, base: cwd }
    put(values, given, home)
    sources[spec.name] = given.source
  }
  for (const given of [...(fromFile ?? []), ...early]) {
    put(values, given, home)
    sources[given.spec.name] = given.source
  }
  const config = { ...(values as unknown as ConfigValues), sources: sources as Config['sources'] }
  checkTogether(config)
  return { ...config, file: fromFile === undefined ? null : path }
}

/** `network.mdns=false`, as after `--set`. @throws OwmError `bad_usage` */
export function parseSetting(text: string): readonly [name: string, value: string] {
  const at = text.indexOf('=')
  if (at < 1) throw new OwmError('bad_usage', 'A setting is given as section.key=value, such as network.mdns=false.')
  return [text.slice(0, at).trim(), text.slice(at + 1).trim()]
}

function fromEnvironment(env: LoadOptions['env'], base: string): Given[] {
  const found: Given[] = []
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith('OWM_') || variable.startsWith(testPrefix) || value === undefined) continue
    const name = variable === dataDirVariable && env['OWM_PEER_DATA_DIR'] === undefined ? 'OWM_PEER_DATA_DIR' : variable
    const spec = specs.find((spec) => spec.variable === name)
    if (spec !== undefined) {
      found.push({ spec, value: spec.fromText(value), source: { from: 'environment', variable }, base })
    } else if (!otherVariables.includes(variable)) {
      const known = [...specs.map((spec) => spec.variable), ...otherVariables]
      const near = nearest(known, (candidate) => editDistance(candidate, variable))
      throw new OwmError('bad_config', `The environment variable ${variable} is no setting; did you mean ${near}?`, {
        variable,
      })
    }
  }
  return found
}

function fromFlags(flags: Readonly<Record<string, unknown>>, base: string): Given[] {
  return Object.entries(flags).flatMap(([name, value]): Given[] => {
    if (value === undefined) return []
    const spec = specs.find((spec) => spec.name === name)
    if (spec === undefined) throw unknownKey('On the command line', name)
    const read = typeof value === 'string' ? spec.fromText(value) : value
    return [{ spec, value: read, source: { from: 'flag' }, base }]
  })
}

/** Where the data directory is, as far as it is known before the file is read. */
function earlyDataDir(given: readonly Given[], home: string): string {
  const last = given.findLast(({ spec, value }) => spec.name === 'peer.data_dir' && typeof value === 'string')
  return resolvePath(String(last?.value ?? '~/.owm'), last?.base ?? '/', home)
}

function put(values: Record<string, Record<string, unknown>>, given: Given, home: string): void {
  const { spec } = given
  const parsed = spec.schema.safeParse(given.value)
  if (!parsed.success) {
    const why = `must be ${spec.expects}${butIs(given.value, parsed.error.issues[0]?.path ?? [])}`
    throw new OwmError('bad_config', `${placeOf(given.source, spec)} ${why}.`, { key: spec.name })
  }
  const value = spec.path ? absolute(parsed.data, given.base, home) : parsed.data
  values[spec.section] = { ...values[spec.section], [spec.property]: value }
}

/** What cannot be said of one key alone. */
function checkTogether(config: ConfigValues & Pick<Config, 'sources'>): void {
  const { intervalMs, ttlMs } = config.manifest
  if (ttlMs > intervalMs) return
  const name: SettingName =
    config.sources['manifest.ttl_ms'].from === 'default' ? 'manifest.interval_ms' : 'manifest.ttl_ms'
  const place = placeOf(config.sources[name], specs.find((spec) => spec.name === name) as SettingSpec)
  const rule = name === 'manifest.ttl_ms' ? 'longer than interval_ms' : 'shorter than ttl_ms'
  throw new OwmError(
    'bad_config',
    `${place} must be ${rule}: ttl_ms is ${ttlMs} and interval_ms ${intervalMs}, so that the peer would vanish between two announcements.`,
    { key: name },
  )
}

function placeOf(source: Source, spec: SettingSpec): string {
  switch (source.from) {
    case 'file':
      return `${source.file}${source.line === null ? '' : `, line ${source.line}`}: ${spec.key} in [${spec.section}]`
    case 'environment':
      return `The environment variable ${source.variable}`
    case 'flag':
      return `On the command line, ${spec.name}`
    case 'default':
      return `The default of ${spec.name}`
  }
}

/** Texts are not repeated: one might be a secret in the wrong place. */
function butIs(value: unknown, path: readonly PropertyKey[]): string {
  const index = path[0]
  if (typeof index === 'number') return `; item ${index + 1} is not`
  if (typeof value === 'number' || typeof value === 'boolean') return `, not ${value}`
  if (Array.isArray(value)) return ', not a list'
  return ''
}

function absolute(value: unknown, base: string, home: string): unknown {
  if (Array.isArray(value)) return value.map((item) => resolvePath(String(item), base, home))
  return resolvePath(String(value), base, home)
}

function resolvePath(path: string, base: string, home: string): string {
  if (path === '~') return home
  return path.startsWith('~/') ? join(home, path.slice(2)) : resolve(base, path)
}
