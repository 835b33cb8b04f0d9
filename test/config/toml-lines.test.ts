import { parse } from 'smol-toml'
import * as assert from 'uvu/assert'
import { tomlLines } from '../../src/config/toml-lines.ts'
import { suite } from '../suite.ts'

const test = suite('lines of TOML')

test('keys are found past every kind of value, comment and string', () => {
  const toml = [
    '\ufeff# [no] = 1',
    'top = 1',
    '[a]  # comment with [b] and x = 1',
    'one = "]\\" # [x]"',
    "two = '\\'",
    'three = """',
    'x = 1',
    '[b]',
    'ends with two quotes """""',
    "four = '''",
    "# y = 2 ''",
    "'''",
    'five = [ # one = 1',
    '  "a", { z = "}" }, [1, 2],',
    ']',
    '[ b . "c d" ]',
    'e.f = 1',
    '"g" = { h = 1 }',
    '[[list]]',
    'i = 1',
    '[[list]]',
    'i = 2\r',
    '[last]\r',
    'j=1',
  ].join('\n')
  parse(toml.slice(1))
  const lines = tomlLines(toml)
  const expected = {
    top: 2,
    a: 3,
    'a.one': 4,
    'a.two': 5,
    'a.three': 6,
    'a.four': 10,
    'a.five': 13,
    b: 16,
    'b.c d': 16,
    'b.c d.e.f': 17,
    'b.c d.g': 18,
    list: 19,
    'list.i': 20,
    last: 23,
    'last.j': 24,
  }
  for (const [name, line] of Object.entries(expected)) assert.is(lines.get(name), line, name)
  for (const name of ['no', 'x', 'a.x', 'a.z', 'y', 'a.y', 'one']) assert.is(lines.get(name), undefined, name)
})

test('it ends on every input, TOML or not', () => {
  const alphabet = ['[', ']', '{', '}', '"', "'", '"""', '\\', '\n', '=', '.', '#', 'a', ' ', ',']
  let seed = 1
  for (let i = 0; i < 3000; i++) {
    let text = ''
    for (let j = 0; j < 20; j++) {
      seed = (seed * 1103515245 + 12345) % 2147483648
      text += alphabet[(seed >> 8) % alphabet.length]
    }
    tomlLines(text)
  }
})

test.run()
