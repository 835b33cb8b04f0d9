import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { manualClock } from '../../src/lib/index.ts'
import { openSequence } from '../../src/manifests/sequence.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { suite } from '../suite.ts'

const test = suite('manifest sequence')

test('no number is given twice after kill -9 at any instant, even when the clock stands at zero afterwards', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'owm-sequence-'))
  try {
    let highest = 0
    for (let round = 0; round < 4; round++) {
      const child = spawn(process.execPath, ['test/manifests/sequence-child.ts', folder], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let output = ''
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk
        // Wherever it is then: the more numbers, the later in the file's life.
        if (output.split('\n').length > 3 + 5 * round) child.kill('SIGKILL')
      })
      await new Promise((resolve) => child.once('close', resolve))
      const complete = output.slice(0, output.lastIndexOf('\n')).split('\n').map(Number)
      for (const number of complete) {
        assert.ok(number > highest, `${number} came after ${highest}`)
        highest = number
      }
      const next = await (await openSequence(manualClock(0), silentLogger, folder)).next()
      assert.ok(next > highest, `${next} came after ${highest}`)
      highest = next
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a clock that stands still or goes back still gives rising numbers', async () => {
  const clock = manualClock(1000)
  const sequence = await openSequence(clock, silentLogger)
  assert.equal([await sequence.next(), await sequence.next()], [1000, 1001])
  sequence.raise(5000)
  sequence.raise(4000)
  assert.is(await sequence.next(), 5001)
  sequence.raise(Number.MAX_SAFE_INTEGER)
  assert.is(await sequence.next(), 5002)
  clock.advance(10_000)
  assert.is(await sequence.next(), 11_000)
})

test.run()
