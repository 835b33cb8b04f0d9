import type { z } from 'zod'
import { keyDocs } from './key.ts'
import { configSchema, type SettingName } from './schema.ts'

/** One key of `owm.toml`, as documentation and completion need it. */
export interface Setting {
  /** `network.max_connections` */
  readonly name: SettingName
  /** `OWM_NETWORK_MAX_CONNECTIONS` */
  readonly variable: string
  readonly doc: string
  /** Ends the sentence "it must be …". */
  readonly expects: string
  readonly default: unknown
}

/** A setting with what the loader needs of it. */
export interface SettingSpec extends Setting {
  readonly section: string
  /** As in the file: `max_connections`. */
  readonly key: string
  /** As in the `Config` object: `maxConnections`. */
  readonly property: string
  readonly schema: z.ZodType
  readonly path: boolean
  readonly fromText: (text: string) => unknown
}

export interface Section {
  readonly name: string
  readonly doc: string
  readonly settings: readonly SettingSpec[]
}

export const sections: readonly Section[] = Object.entries(configSchema.shape).map(([name, section]) => ({
  name,
  doc: section.description ?? '',
  settings: Object.entries(section.shape as Record<string, z.ZodType>).map(([property, schema]) =>
    settingOf(name, property, schema),
  ),
}))

export const specs: readonly SettingSpec[] = sections.flatMap((section) => section.settings)

/** Every key of `owm.toml`, in the order of the example file. */
export const settings: readonly Setting[] = specs

function settingOf(section: string, property: string, schema: z.ZodType): SettingSpec {
  const doc = keyDocs.get(schema)
  if (doc === undefined) throw new Error(`${section}.${property} is not documented`)
  const key = property.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  const name = `${section}.${key}` as SettingName
  return {
    ...doc,
    name,
    variable: `OWM_${section}_${key}`.toUpperCase(),
    default: schema.parse(undefined),
    section,
    key,
    property,
    schema,
  }
}
