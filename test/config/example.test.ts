import { readFileSync, writeFileSync } from 'node:fs'
import { parse } from 'smol-toml'
import * as assert from 'uvu/assert'
import { loadConfig, renderExample, renderReference, settings } from '../../src/config/index.ts'
import { suite } from '../suite.ts'

const test = suite('documentation of the configuration')

/** `OWM_TEST_UPDATE=1 npm test -- config/example` writes both files anew. */
const update = process.env['OWM_TEST_UPDATE'] === '1'
const examplePath = 'owm.toml.example'
const documentPath = 'docs/configuration.md'
const [beginMark, endMark] = ['<!-- keys: generated from the schema -->\n', '<!-- end of keys -->']

test('owm.toml.example is what the schema says', () => {
  if (update) writeFileSync(examplePath, renderExample())
  assert.is(readFileSync(examplePath, 'utf8'), renderExample())
})

test('the tables of docs/configuration.md are what the schema says', () => {
  const [before, , after] = partsOf(readFileSync(documentPath, 'utf8'))
  if (update) writeFileSync(documentPath, before + renderReference() + after)
  assert.is(partsOf(readFileSync(documentPath, 'utf8'))[1], renderReference())
})

test('the example sets nothing, and uncommented it sets every key to its default', () => {
  assert.equal(
    Object.values(parse(renderExample())).flatMap((section) => Object.keys(section)),
    [],
  )
  const uncommented = parse(renderExample().replace(/^#(?=\w)/gm, '')) as Record<string, Record<string, unknown>>
  for (const setting of settings) {
    const [section = '', key = ''] = setting.name.split('.')
    assert.equal(uncommented[section]?.[key], setting.default, setting.name)
  }
  assert.is(Object.values(uncommented).flatMap((section) => Object.keys(section)).length, settings.length)
})

test('a value read back from the example is the default itself', () => {
  const flags = Object.fromEntries(settings.map((setting) => [setting.name, setting.default]))
  const { sources: _, ...byFlags } = loadConfig({ env: { HOME: '/h' }, flags, cwd: '/h' })
  const { sources: __, ...byDefault } = loadConfig({ env: { HOME: '/h' }, cwd: '/h' })
  assert.equal(byFlags, byDefault)
})

test('every key says what it is for in sentences', () => {
  for (const { name, doc, expects } of settings) {
    assert.match(doc, /^[A-Z"].*\.$/, name)
    assert.ok(expects.length > 5, name)
  }
})

test.run()

/** What stands before, between and after the marks. */
function partsOf(document: string): [string, string, string] {
  const begin = document.indexOf(beginMark) + beginMark.length
  const end = document.indexOf(endMark)
  assert.ok(begin >= beginMark.length && end >= begin, 'the marks are missing')
  return [document.slice(0, begin), document.slice(begin, end), document.slice(end)]
}
