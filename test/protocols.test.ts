import { existsSync, globSync, readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { suite } from './suite.ts'
import { claimVectors } from './vectors.ts'

const test = suite('protocols')
const protocols = globSync('protocols/*/').map((folder) => folder.split('/')[1] ?? '')
const tests = globSync('test/**/*.test.ts').map((file) => readFileSync(file, 'utf8'))

test('every protocol has a README, a CDDL schema, and vectors that a test claims', () => {
  for (const protocol of protocols) {
    assert.ok(existsSync(`protocols/${protocol}/README.md`), `protocols/${protocol}/README.md is missing`)
    assert.ok(existsSync(`protocols/${protocol}/schema.cddl`), `protocols/${protocol}/schema.cddl is missing`)
    const vectors = claimVectors(protocol)
    assert.ok(
      vectors.some((vector) => vector.valid),
      `protocols/${protocol} has no valid vector`,
    )
    assert.ok(
      vectors.some((vector) => !vector.valid),
      `protocols/${protocol} has no invalid vector`,
    )
    assert.ok(
      tests.some((source) => source.includes(`claimVectors('${protocol}')`)),
      `no test claims the vectors of protocols/${protocol}`,
    )
  }
})

test('a protocol file outside vectors/{valid,invalid} is not data', () => {
  const stray = globSync('protocols/*/vectors/**/*.json').filter(
    (path) => !/vectors\/(valid|invalid)\/[^/]+$/.test(path),
  )
  assert.equal(stray, [])
})

test.run()
