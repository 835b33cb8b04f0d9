import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { suite } from '../suite.ts'

const test = suite('leaves a process behind')
test('starts it', () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], { stdio: 'ignore' })
  writeFileSync(process.env['OWM_TEST_PID_FILE'] ?? '', String(child.pid))
})
test.run()
