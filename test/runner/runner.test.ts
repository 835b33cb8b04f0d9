import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { temporaryFolder, until } from '../processes.ts'
import { suite } from '../suite.ts'

const test = suite('the test runner')
const run = (
  fixture: string,
  env: Readonly<Record<string, string>> = {},
): { readonly code: number | null; readonly last: string } => {
  const ended = spawnSync(process.execPath, ['scripts/test.ts'], {
    env: { ...process.env, OWM_TEST_FILES: `test/runner/${fixture}.fixture.ts`, ...env },
    encoding: 'utf8',
  })
  return { code: ended.status, last: ended.stdout.trim().split('\n').at(-1) ?? '' }
}

test('a forgotten run() is a failure', () => {
  assert.equal(run('forgotten'), { code: 1, last: '0 passed, 1 failed' })
})
test('a hook that throws is a failure', () => {
  assert.equal(run('hook'), { code: 1, last: '0 passed, 1 failed' })
})
test('a test that hangs is bounded, and the others count', () => {
  assert.equal(run('hangs'), { code: 1, last: '1 passed, 1 failed' })
})
test('a file that crashes is a failure', () => {
  assert.equal(run('crashes'), { code: 1, last: '0 passed, 1 failed' })
})
test('no file at all is a failure', () => {
  assert.equal(run('nothing-of-that-name'), { code: 1, last: '0 passed, 0 failed' })
})
test('what a test started does not outlive it', async () => {
  const pidFile = join(temporaryFolder(), 'pid')
  assert.equal(run('orphan', { OWM_TEST_PID_FILE: pidFile }), { code: 0, last: '1 passed, 0 failed' })
  const pid = Number(readFileSync(pidFile, 'utf8'))
  await until(() => {
    try {
      process.kill(pid, 0)
      // A zombie that nobody has reaped yet has ended too.
      return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
    } catch {
      return true
    }
  })
})

test.run()
