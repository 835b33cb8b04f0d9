/**
 * Runs the tests: `npm test [-- FILTER...]`. Each file in a process group of its own, which is killed when the file
 * ends or overruns, so that nothing a test started outlives it. Prints `N passed, N failed` alone on the last line.
 */
import { spawn } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'

/** A file that takes longer hangs. */
const fileTimeoutMs = 300_000

interface Tally {
  readonly declared: number
  readonly executed: number
  readonly skipped: readonly string[]
  readonly code: number
}
interface Outcome {
  readonly file: string
  readonly passed: number
  readonly failed: number
  readonly skipped: readonly string[]
}

const filters = process.argv.slice(2).filter((argument) => !argument.startsWith('-'))
const files = globSync(process.env['OWM_TEST_FILES'] ?? 'test/**/*.test.ts')
  .sort()
  .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
const folder = mkdtempSync(join(tmpdir(), 'owm-test-'))
const running = new Set<number>()
let interrupted = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    interrupted = true
    for (const pid of running) killGroup(pid)
  })
}

const waiting = [...files]
const outcomes: Outcome[] = []
const worker = async (): Promise<void> => {
  for (let file = waiting.shift(); file !== undefined && !interrupted; file = waiting.shift()) {
    outcomes.push(await runFile(file))
  }
}
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, worker))
rmSync(folder, { recursive: true, force: true })

const skipped = outcomes.flatMap((outcome) => outcome.skipped)
for (const line of skipped) console.log(`skipped: ${line}`)
const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0)
const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0) + waiting.length
if (files.length === 0) console.log(`No test file matches ${filters.join(' ')}.`)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)

async function runFile(file: string): Promise<Outcome> {
  const tallyFile = join(folder, file.replaceAll('/', '_'))
  const child = spawn(process.execPath, ['scripts/test-file.ts', file], {
    env: { ...process.env, OWM_TEST_TALLY: tallyFile, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const pid = child.pid ?? 0
  running.add(pid)
  const output: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => output.push(chunk))
  const startedMs = performance.now()
  let overran = false
  const timer = setTimeout(() => {
    overran = true
    killGroup(pid)
  }, fileTimeoutMs)
  await new Promise<void>((resolve) => child.once('exit', () => resolve()))
  clearTimeout(timer)
  killGroup(pid)
  running.delete(pid)

  const tally = readTally(tallyFile)
  const text = Buffer.concat(output).toString('utf8')
  // uvu's own closing lines say how many of the executed tests passed, suite by suite.
  const passed = [...text.matchAll(/^ {2}Passed:\s+(\d+)/gm)].reduce((sum, match) => sum + Number(match[1]), 0)
  const failed = Math.max(tally.declared - passed, tally.code !== 0 || overran || tally.declared === 0 ? 1 : 0)
  const onlySkips = tally.declared === 0 && tally.skipped.length > 0 && tally.code === 0 && !overran
  const outcome = {
    file,
    passed: Math.min(passed, tally.executed),
    failed: onlySkips ? 0 : failed,
    skipped: tally.skipped,
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
  console.log(
    `${outcome.failed === 0 ? 'ok    ' : 'FAILED'} ${file} (${outcome.passed}/${tally.declared}, ${seconds} s)`,
  )
  if (outcome.failed > 0) {
    console.log(text.trimEnd())
    if (overran) console.log(`${file} was stopped after ${fileTimeoutMs / 1000} s.`)
    if (tally.executed < tally.declared) {
      console.log(
        `${file} declares ${tally.declared} tests and executed ${tally.executed}: a hook threw, or run() is missing.`,
      )
    }
  }
  return outcome
}

function readTally(path: string): Tally {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Tally
  } catch {
    return { declared: 0, executed: 0, skipped: [], code: 1 }
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // The group is gone already.
  }
}
