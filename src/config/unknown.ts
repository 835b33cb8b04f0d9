import { OwmError } from '../lib/index.ts'
import { editDistance, nearest } from './nearest.ts'
import { sections, specs } from './settings.ts'

/** The right key in a wrong section is nearer than a wrong key in the right one, from two letters on. */
const maxSectionDistance = 2

/** An error for `section.key`, which is not there; or `key` alone, outside of any section. */
export function unknownKey(place: string, name: string): OwmError {
  const dot = name.indexOf('.')
  const section = name.slice(0, Math.max(0, dot))
  const key = name.slice(dot + 1)
  const near = nearest(
    specs,
    (spec) => Math.min(maxSectionDistance, editDistance(section, spec.section)) + editDistance(key, spec.key),
  )
  const where = section === '' ? 'outside of a section' : `in [${section}]`
  return new OwmError(
    'bad_config',
    `${place}: there is no key ${key} ${where}; did you mean ${near.key} in [${near.section}]?`,
    { key: name },
  )
}

export function unknownSection(place: string, name: string): OwmError {
  const near = nearest(sections, (section) => editDistance(name, section.name))
  return new OwmError('bad_config', `${place}: there is no section [${name}]; did you mean [${near.name}]?`, {
    key: name,
  })
}
