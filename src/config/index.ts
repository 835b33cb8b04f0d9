/**
 * What the operator decides: one validated object out of defaults, `owm.toml`, `OWM_*` variables and flags, each
 * overriding the ones before; and the data directory, which one peer at a time holds.
 *
 * The schema in `schema.ts` is the only list of keys: `owm.toml.example`, the tables of `docs/configuration.md`, the
 * names of the variables and the messages follow from it. A name or a value that is wrong anywhere is an error that
 * says where, and the nearest name. Values are never printed back where they could be a secret pasted in.
 *
 * @example
 * const config = loadConfig({ file: 'owm.toml', env: process.env, flags: { 'http.listen': '127.0.0.1:0' } })
 * const dataDir = await openDataDir(config.peer.dataDir)
 */
import type { ConfigValues, SettingName } from './schema.ts'

/** Where a value came from. */
export type Source =
  | { readonly from: 'default' }
  | { readonly from: 'file'; readonly file: string; readonly line: number | null }
  | { readonly from: 'environment'; readonly variable: string }
  | { readonly from: 'flag' }

/** Paths in it are absolute. */
export interface Config extends ConfigValues {
  readonly sources: Readonly<Record<SettingName, Source>>
  /** The file that was read, if any. */
  readonly file: string | null
}

export { type DataDir, openDataDir } from './data-dir.ts'
export { checkDataDir, type DataDirCheck } from './data-dir-check.ts'
export { type Lock, takeLock } from './data-dir-lock.ts'
export { renderExample, renderReference } from './example.ts'
export { hostAndPortOf } from './key.ts'
export { type LoadOptions, loadConfig, parseSetting } from './load.ts'
export type { ConfigValues, SettingName } from './schema.ts'
export { type Setting, settings } from './settings.ts'
