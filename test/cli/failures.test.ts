import { spawnSync } from 'node:child_process'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type Finished, owm, startPeer, temporaryFolder } from '../processes.ts'
import { suite } from '../suite.ts'

const test = suite('owm, when something is wrong')
const start = (dataDir: string, args: readonly string[] = [], inside: readonly string[] = []): Promise<Finished> =>
  owm(['peer', 'start', '--data-dir', dataDir, ...args], {
    env: { OWM_NETWORK_LISTEN: '/ip4/127.0.0.1/tcp/0', OWM_HTTP_LISTEN: '127.0.0.1:0' },
    inside,
    timeoutMs: 20_000,
  })
/** One clear sentence: one line, from owm, that ends as a sentence does. */
const assertOneSentence = ({ stderr }: Finished, about: RegExp): void => {
  const lines = stderr.trim().split('\n')
  assert.is(lines.length, 1, stderr)
  assert.match(lines[0] ?? '', /^owm: .{20,}\S$/)
  assert.match(lines[0] ?? '', about)
}
const namespaces = spawnSync('unshare', ['--mount', 'true']).status === 0

test('a wrong key in owm.toml: file, line and the nearest key', async () => {
  const dataDir = temporaryFolder()
  const config = join(dataDir, 'owm.toml')
  await writeFile(config, '[network]\nmdsn = false\n')
  const ended = await start(dataDir)
  assert.is(ended.code, 78)
  assertOneSentence(ended, /owm\.toml, line 2: .*mdsn.*mdns/)
  assert.is(await readFile(config, 'utf8'), '[network]\nmdsn = false\n')
})

test('a wrong value, a wrong variable, a wrong flag', async () => {
  assert.is((await start(temporaryFolder(), ['--set', 'http.listen=nowhere'])).code, 78)
  assert.is((await start(temporaryFolder(), ['--set', 'http.lisen=127.0.0.1:1'])).code, 78)
  assert.is((await start(temporaryFolder(), ['--no-such-flag'])).code, 64)
  assert.is((await owm(['no-such-command'])).code, 64)
  assert.is((await owm(['peer', 'start', '--config', '/nowhere/owm.toml'])).code, 78)
})

test('a port that was asked for and is taken', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const http = await start(temporaryFolder(), ['--http', `127.0.0.1:${port}`])
  assert.is(http.code, 69, http.stderr)
  assert.match(http.stderr, new RegExp(`owm: .*${port}.*\\.`))
  const p2p = await start(temporaryFolder(), ['--listen', `/ip4/127.0.0.1/tcp/${port}`])
  assert.is(p2p.code, 69, p2p.stderr)
  assert.match(p2p.stderr, new RegExp(`owm: .*${port}.*\\.`))
  server.close()
})

test(
  'a data directory that another peer uses',
  async () => {
    const dataDir = temporaryFolder()
    const first = await startPeer({ dataDir })
    const second = await start(dataDir)
    assert.is(second.code, 73)
    assertOneSentence(second, new RegExp(`process ${first.pid}`))
    assert.ok((await first.status()).ready)
    await first.stop()
  },
  { timeoutMs: 40_000 },
)

test('an identity file that is broken, or that others can read, is left as it is', async () => {
  const dataDir = temporaryFolder()
  const file = join(dataDir, 'identity.key')
  await writeFile(file, 'no key at all', { mode: 0o600 })
  const broken = await start(dataDir)
  assert.is(broken.code, 65)
  assertOneSentence(broken, /identity\.key/)
  assert.is(await readFile(file, 'utf8'), 'no key at all')
  await chmod(file, 0o644)
  const exposed = await start(dataDir)
  assert.is(exposed.code, 77)
  assertOneSentence(exposed, /chmod 600/)
})

test('a data directory that is a file', async () => {
  const file = join(temporaryFolder(), 'file')
  await writeFile(file, 'kept')
  const ended = await start(file)
  assert.is(ended.code, 73)
  assertOneSentence(ended, /folder/)
  assert.is(await readFile(file, 'utf8'), 'kept')
})

if (!namespaces) {
  test.skip('read-only data directory, full disk', 'mount namespaces are not permitted here')
} else {
  test('a read-only data directory', async () => {
    const folder = temporaryFolder()
    await mkdir(join(folder, 'data'))
    const ended = await start(join(folder, 'data'), [], inMount(`mount -t tmpfs -o ro,size=1m none ${folder}/data`))
    assert.is(ended.code, 77, ended.stderr)
    assertOneSentence(ended, /read-only|written/)
  })

  test('a full disk', async () => {
    const folder = temporaryFolder()
    await mkdir(join(folder, 'data'))
    const fill = `mount -t tmpfs -o size=64k none ${folder}/data && head -c 70000 /dev/zero > ${folder}/data/ballast`
    const ended = await start(join(folder, 'data'), [], inMount(fill))
    assert.is(ended.code, 74, ended.stderr)
    assertOneSentence(ended, /full/)
  })
}

test('an invitation that is broken', async () => {
  const ended = await owm(['mesh', 'join', 'owm:nonsense', '--data-dir', temporaryFolder(), '--json'])
  assert.is(ended.code, 65, ended.stdout)
  assert.is((JSON.parse(ended.stdout) as { error: { code: string } }).error.code, 'invitation_damaged')
})

test.run()

/** Runs what follows in a mount namespace of its own, after `prepare`. */
function inMount(prepare: string): string[] {
  return ['unshare', '--mount', 'sh', '-c', `${prepare} 2>/dev/null; exec "$@"`, 'sh']
}
