import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { takeLock } from '../../src/config/data-dir-lock.ts'
import { checkDataDir, openDataDir } from '../../src/config/index.ts'
import type { OwmError } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'

const test = suite('data directory')
const root = mkdtempSync(join(tmpdir(), 'owm-data-dir-'))
test.after(() => rmSync(root, { recursive: true }))
let serial = 0
const newPath = (): string => join(root, `${serial++}`, 'data')

test('it is made for its owner alone, with a version, and given up by close', async () => {
  const path = newPath()
  const dataDir = await openDataDir(path, { controlSocket: '/tmp/x.sock' })
  assert.is(dataDir.path, path)
  assert.is(statSync(path).mode & 0o777, 0o700)
  assert.is(readFileSync(join(path, 'version'), 'utf8'), '1\n')
  const check = await checkDataDir(path)
  assert.is(check.locked, true)
  assert.is(check.holder?.pid, process.pid)
  assert.is(check.holder?.controlSocket, '/tmp/x.sock')
  assert.is((await refusal(path)).code, 'data_dir_locked')
  await dataDir.close()
  await dataDir.close()
  assert.is(existsSync(join(path, 'peer.json')), false)
  assert.is((await checkDataDir(path)).locked, false)
  await (await openDataDir(path)).close()
})

test('what is there already stays, and what a crash left half-written goes', async () => {
  const path = newPath()
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'owm.toml'), '')
  writeFileSync(join(path, '.peer.json.0a1b2c.tmp'), 'half')
  writeFileSync(join(path, '.other.0a1b2c.tmp'), 'theirs')
  await (await openDataDir(path)).close()
  assert.equal(readdirSync(path).sort(), ['.other.0a1b2c.tmp', 'lock.db', 'owm.toml', 'version'])
})

test('of processes that start at once, one gets it and the others are told its pid', async () => {
  const path = newPath()
  const holders = Array.from({ length: 4 }, () => startHolder(path))
  try {
    const answers = await Promise.all(holders.map(answerOf))
    const winner = answers.findIndex((answer) => answer.opened)
    assert.is(answers.filter((answer) => answer.opened).length, 1)
    for (const answer of answers.filter((answer) => !answer.opened)) assert.is(answer.code, 'data_dir_locked')
    const late = await answerOf(startHolder(path))
    assert.is(late.code, 'data_dir_locked')
    const sentence = `Another peer (process ${holders[winner]?.pid}) uses the data directory ${path};`
    assert.ok(late.message?.startsWith(sentence), late.message)
  } finally {
    for (const holder of holders) holder.kill('SIGKILL')
  }
})

test('after kill -9 of the holder it is free, without anything to clean up', async () => {
  const path = newPath()
  for (let i = 0; i < 3; i++) {
    const holder = startHolder(path)
    assert.is((await answerOf(holder)).opened, true)
    assert.is((await refusal(path)).code, 'data_dir_locked')
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    assert.is(existsSync(join(path, 'peer.json')), true)
    const check = await checkDataDir(path)
    assert.equal([check.locked, check.holder], [false, null])
  }
  await (await openDataDir(path)).close()
})

test('looking at it does not get in the way of a peer that starts', async () => {
  const path = newPath()
  await (await openDataDir(path)).close()
  const looker = spawn(process.execPath, ['--input-type=module', '-e', lookScript(path)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(looker.stdout, 'data')
  try {
    // Often enough that some fall into the instant in which a look holds a shared lock.
    for (let i = 0; i < 300; i++) {
      const lock = takeLock(path)
      assert.ok(lock, `taken for locked at attempt ${i}`)
      lock.release()
    }
    assert.is(looker.exitCode, null)
  } finally {
    looker.kill('SIGKILL')
  }
})

test('a directory of a newer version is left alone', async () => {
  const path = newPath()
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'version'), '2\n')
  const error = await refusal(path)
  assert.is(error.code, 'data_dir_newer')
  assert.match(error.message, /newer OWM \(format 2, this one knows 1\)/)
  for (const text of ['', 'x', '0', '-1', '1.5', '1\n\n', '99999999999']) {
    writeFileSync(join(path, 'version'), text)
    assert.is((await refusal(path)).code, 'data_dir_corrupt', JSON.stringify(text))
    assert.is(readFileSync(join(path, 'version'), 'utf8'), text)
  }
  assert.equal(readdirSync(path), ['version'])
})

test('a file in its place is refused', async () => {
  const path = newPath()
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, 'mine')
  for (const refused of [path, join(path, 'below')]) {
    assert.is((await refusal(refused)).code, 'data_dir_not_a_folder')
    await assertRejects(checkDataDir(refused), 'data_dir_not_a_folder')
  }
  assert.is(readFileSync(path, 'utf8'), 'mine')
  const linked = newPath()
  mkdirSync(join(linked, '..'), { recursive: true })
  symlinkSync(join(root, 'nowhere'), linked)
  assert.is((await refusal(linked)).code, 'data_dir_not_a_folder')
})

test('a lock file that is none is refused, and not written to', async () => {
  const path = newPath()
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'lock.db'), 'this is not a database of SQLite, but something else '.repeat(100))
  assert.is((await refusal(path)).code, 'data_dir_corrupt')
  await assertRejects(checkDataDir(path), 'data_dir_corrupt')
  assert.ok(readFileSync(join(path, 'lock.db'), 'utf8').startsWith('this is not'))
})

test('what peer.json says is not believed', async () => {
  const path = newPath()
  const dataDir = await openDataDir(path)
  for (const text of ['', '{', '{"pid":-1}', '{"pid":"x","startedMs":1,"controlSocket":null}', '[]']) {
    writeFileSync(join(path, 'peer.json'), text)
    assert.match((await refusal(path)).message, /^Another peer uses the data directory/)
    assert.is((await checkDataDir(path)).holder, null)
  }
  await dataDir.close()
})

test('a check of a directory that is not there makes nothing', async () => {
  const path = newPath()
  const check = await checkDataDir(path)
  assert.is(existsSync(join(path, '..')), false)
  assert.equal(
    [check.exists, check.writable, check.version, check.locked, check.holder],
    [false, true, null, false, null],
  )
  assert.ok(check.freeBytes > 0)
  mkdirSync(path, { recursive: true })
  assert.is((await checkDataDir(path)).exists, true)
  assert.equal(readdirSync(path), [])
})

if (process.getuid?.() === 0) {
  test.skip('a directory without write permission', 'root may write everywhere; the read-only mount covers it')
} else {
  test('a directory without write permission is refused', async () => {
    const path = newPath()
    mkdirSync(path, { recursive: true })
    chmodSync(path, 0o500)
    assert.is((await refusal(path)).code, 'data_dir_read_only')
    assert.is((await refusal(join(path, 'below'))).code, 'data_dir_read_only')
    assert.is((await checkDataDir(path)).writable, false)
    chmodSync(path, 0o700)
  })
}

const namespace = mountNamespace()
if (namespace === undefined) {
  test.skip('a read-only mount and a full disk', 'mounts are not permitted here (unshare -m)')
} else {
  test('a read-only mount is refused, with and without a data directory on it', async () => {
    const path = newPath()
    await (await openDataDir(path)).close()
    const before = readdirSync(path)
    const mount = `mount --bind ${path} ${path} && mount -o remount,ro,bind ${path}`
    for (const opened of [path, join(path, 'below')]) {
      const answer = await answerOf(startHolder(opened, { namespace, mount }))
      assert.is(answer.code, 'data_dir_read_only', answer.message)
      assert.match(answer.message ?? '', /cannot be written to/)
    }
    assert.equal(readdirSync(path), before)
  })

  test('a full disk is refused, and what was there is whole', async () => {
    const path = newPath()
    mkdirSync(path, { recursive: true })
    const fill = `dd if=/dev/zero of=${path}/filler bs=4k 2>/dev/null`
    const fresh = await answerOf(
      startHolder(path, { namespace, mount: `mount -t tmpfs -o size=64k tmpfs ${path}; ${fill}` }),
    )
    assert.is(fresh.code, 'disk_full', fresh.message)
    const used = `mount -t tmpfs -o size=64k tmpfs ${path}; echo 1 > ${path}/version; ${fill}`
    const second = await answerOf(startHolder(path, { namespace, mount: used, after: `cat ${path}/version` }))
    assert.is(second.code, 'disk_full', second.message)
    assert.match(second.message ?? '', /The disk of the data directory .* is full/)
    assert.is(second.rest, '1\n')
  })
}

test.run()

interface Answer {
  readonly opened: boolean
  readonly code?: string
  readonly message?: string
  readonly rest: string
}

/** A process that opens the directory, says what came of it on one line, and holds on when it could. */
function startHolder(
  path: string,
  wrap?: { readonly namespace: readonly string[]; readonly mount: string; readonly after?: string },
): ChildProcess {
  const script = `
    import { openDataDir } from './src/config/index.ts'
    try {
      await openDataDir(${JSON.stringify(path)})
      console.log(JSON.stringify({ opened: true }))
      setInterval(() => undefined, 1000)
    } catch (error) {
      console.log(JSON.stringify({ opened: false, code: error.code, message: error.message }))
    }`
  const args = [process.execPath, '--input-type=module', '-e', script]
  if (wrap === undefined) return spawn(args[0] ?? '', args.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] })
  const shell = `${wrap.mount}; "$@"; ${wrap.after ?? ':'}`
  const [command = '', ...rest] = [...wrap.namespace, 'sh', '-c', shell, 'sh', ...args]
  return spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
}

/** Resolves with the first line of a holder that holds on, or with all that one printed which ended. */
async function answerOf(child: ChildProcess): Promise<Answer> {
  let output = ''
  await new Promise<void>((resolve) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      if (output.startsWith('{"opened":true') && output.includes('\n')) resolve()
    })
    child.once('close', () => resolve())
  })
  const end = output.indexOf('\n')
  assert.ok(end > 0, `no answer: ${output}`)
  return { ...(JSON.parse(output.slice(0, end)) as Answer), rest: output.slice(end + 1) }
}

function lookScript(path: string): string {
  return `
    import { isLocked } from './src/config/data-dir-lock.ts'
    for (let i = 0; ; i++) {
      isLocked(${JSON.stringify(path)})
      if (i === 0) process.stdout.write('looking')
    }`
}

/** How to run something where mounts are its own; undefined where that is not permitted. */
function mountNamespace(): readonly string[] | undefined {
  for (const wrap of [
    ['unshare', '-m'],
    ['unshare', '-rm'],
  ]) {
    try {
      const [command = '', ...args] = wrap
      const folder = mkdtempSync(join(root, 'mount-'))
      execFileSync(command, [...args, 'mount', '-t', 'tmpfs', 'tmpfs', folder], { stdio: 'ignore' })
      return wrap
    } catch {
      // Not this way.
    }
  }
  return undefined
}

async function refusal(path: string): Promise<OwmError> {
  try {
    await (await openDataDir(path)).close()
  } catch (error) {
    return error as OwmError
  }
  throw new Error('the directory was taken')
}

async function assertRejects(promise: Promise<unknown>, code: string): Promise<void> {
  assert.is(
    await promise.then(
      () => 'nothing',
      (error: OwmError) => error.code,
    ),
    code,
  )
}
