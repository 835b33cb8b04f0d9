import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import * as assert from 'uvu/assert'
import { createIdentity, loadOrCreateIdentity, verifySigned } from '../../src/identity/index.ts'
import type { OwmError } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'

const test = suite('identity file')
const root = mkdtempSync(join(tmpdir(), 'owm-identity-'))
test.after(() => rmSync(root, { recursive: true }))
const x25519Pem = generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
let serial = 0
const newPath = (): string => join(root, String(serial++), 'identity.key')

test('the first call makes the key, later ones return it', async () => {
  const path = newPath()
  const first = await loadOrCreateIdentity(path)
  const second = await loadOrCreateIdentity(path)
  assert.is(first.created, true)
  assert.is(second.created, false)
  assert.ok(first.identity.peerId.equals(second.identity.peerId))
  assert.is(statSync(path).mode & 0o777, 0o600)
  assert.is(statSync(join(path, '..')).mode & 0o777, 0o700)
  assert.equal(readdirSync(join(path, '..')), ['identity.key'])
  verifySigned('a', second.identity.sign('a', new Uint8Array(3)), 1000)
})

test('libp2p signs with the same key', async () => {
  const { identity } = await loadOrCreateIdentity(newPath())
  const signature = await identity.privateKey.sign(new Uint8Array([1, 2]))
  assert.ok(await identity.privateKey.publicKey.verify(new Uint8Array([1, 2]), signature))
  assert.equal(identity.privateKey.publicKey.raw, identity.publicKey)
  assert.equal(identity.peerId.publicKey?.raw, identity.publicKey)
})

test('the file is the PEM that openssl reads and writes', async () => {
  const path = newPath()
  const { identity } = await loadOrCreateIdentity(path)
  assert.match(readFileSync(path, 'utf8'), /^-----BEGIN PRIVATE KEY-----\n[^-]+\n-----END PRIVATE KEY-----\n$/)
  if (!hasOpenssl()) return
  const publicDer = execFileSync('openssl', ['pkey', '-in', path, '-pubout', '-outform', 'DER'])
  assert.equal(new Uint8Array(publicDer.subarray(-32)), identity.publicKey)
  const theirs = newPath()
  mkdirSync(join(theirs, '..'))
  writeFileSync(theirs, execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519']), { mode: 0o600 })
  assert.is((await loadOrCreateIdentity(theirs)).created, false)
})

test('a key that others can read is refused, with the way to mend it', async () => {
  const path = newPath()
  await loadOrCreateIdentity(path)
  for (const mode of [0o640, 0o604, 0o620, 0o601]) {
    chmodSync(path, mode)
    const error = await failure(path)
    assert.is(error.code, 'identity_exposed')
    assert.ok(error.message.includes(`chmod 600 ${path}`))
  }
  chmodSync(path, 0o400)
  assert.is((await loadOrCreateIdentity(path)).created, false)
})

test('what is not an Ed25519 key is refused and left as it is', async () => {
  const path = newPath()
  const { identity } = await loadOrCreateIdentity(path)
  const pem = readFileSync(path, 'utf8')
  const contents = [
    '',
    'no key',
    pem.slice(0, 60),
    pem.replace('PRIVATE', 'PUBLIC'),
    x25519Pem,
    'x'.repeat(20_000),
    '\0'.repeat(119),
  ]
  for (const content of contents) {
    writeFileSync(path, content)
    const error = await failure(path)
    assert.is(error.code, 'identity_corrupt', inspect(content))
    assert.ok(error.message.includes(path))
    assert.ok(!error.message.includes('BEGIN'))
    assert.is(readFileSync(path, 'utf8'), content)
  }
  writeFileSync(path, pem)
  assert.ok((await loadOrCreateIdentity(path)).identity.peerId.equals(identity.peerId))
})

test('a folder in the place of the file, or a file in the place of the folder, is a clear refusal', async () => {
  const path = newPath()
  mkdirSync(path, { recursive: true, mode: 0o700 })
  chmodSync(path, 0o700)
  assert.is((await failure(path)).code, 'identity_unreadable')
  const below = newPath()
  writeFileSync(join(below, '..'), '')
  const error = await failure(below)
  assert.is(error.code, 'identity_unreadable')
})

test('processes that make it at once end with one key', async () => {
  const path = newPath()
  const outputs = await Promise.all(Array.from({ length: 6 }, () => outputOf(startLoader(path))))
  const results = outputs.map((output) => JSON.parse(output) as { peerId: string; created: boolean })
  assert.is(new Set(results.map((result) => result.peerId)).size, 1)
  assert.is(results.filter((result) => result.created).length, 1)
  assert.equal(readdirSync(join(path, '..')), ['identity.key'])
})

test('calls within one process that make it at once end with one key', async () => {
  const path = newPath()
  const results = await Promise.all(Array.from({ length: 20 }, () => loadOrCreateIdentity(path)))
  assert.is(new Set(results.map((result) => result.identity.peerId.toString())).size, 1)
  assert.is(results.filter((result) => result.created).length, 1)
})

test('kill -9 while it is being made leaves a whole key or none', async () => {
  for (let i = 0; i < 12; i++) {
    const path = newPath()
    // The loader prints a byte once its modules are loaded; the kill falls into the writing or right after it.
    const child = startLoader(path, 'announce')
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    for (let spins = 0; spins < i * 40; spins++) existsSync(path)
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('exit', resolve))
    const before = existsSync(path) ? readFileSync(path, 'utf8') : undefined
    const { created } = await loadOrCreateIdentity(path)
    assert.is(created, before === undefined)
    if (before !== undefined) assert.is(readFileSync(path, 'utf8'), before)
  }
})

if (!canMount()) {
  test.skip('a full disk and a read-only mount', 'mounts are not permitted here (unshare -m)')
} else {
  test('a full disk and a read-only mount are clear refusals, and leave nothing behind', async () => {
    const folder = join(newPath(), '..')
    mkdirSync(folder, { mode: 0o700 })
    const tmpfs = `mount -t tmpfs -o size=64k tmpfs ${folder}`
    const cases = {
      disk_full: `${tmpfs}; dd if=/dev/zero of=${folder}/filler bs=4k 2>/dev/null`,
      identity_unwritable: `${tmpfs}; touch ${folder}/filler; mount -o remount,ro ${folder}`,
    }
    for (const [code, mount] of Object.entries(cases)) {
      const script = `
        import { readdirSync } from 'node:fs'
        import { loadOrCreateIdentity } from './src/identity/index.ts'
        const error = await loadOrCreateIdentity('${folder}/identity.key').catch((error) => error)
        console.log(JSON.stringify([error.code, readdirSync('${folder}')]))`
      const args = ['sh', '-c', `${mount}; "$@"`, 'sh', process.execPath, '--input-type=module', '-e', script]
      const child = spawn('unshare', ['-m', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
      assert.equal(JSON.parse(await outputOf(child)), [code, ['filler']])
    }
  })
}

test('no log line or inspection shows the private key', async () => {
  const identity = createIdentity()
  const raw = Buffer.from(identity.privateKey.raw.subarray(0, 32))
  const shown = inspect(identity, { showHidden: true, depth: 20 }) + JSON.stringify(identity)
  assert.ok(!shown.includes(raw.toString('hex')) && !shown.includes(raw.toString('base64url')))
  assert.ok(!shown.includes([...raw.subarray(0, 8)].join(', ')))
})

test.run()

async function failure(path: string): Promise<OwmError> {
  try {
    await loadOrCreateIdentity(path)
  } catch (error) {
    return error as OwmError
  }
  throw new Error('nothing was refused')
}

function startLoader(path: string, announce = ''): ChildProcess {
  const script = `
    import { writeSync } from 'node:fs'
    import { loadOrCreateIdentity } from './src/identity/index.ts'
    if (${JSON.stringify(announce)}) writeSync(1, '.')
    const { identity, created } = await loadOrCreateIdentity(${JSON.stringify(path)})
    writeSync(1, JSON.stringify({ peerId: identity.peerId.toString(), created }))`
  return spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
}

async function outputOf(child: ChildProcess): Promise<string> {
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  assert.is(code, 0)
  return output
}

function canMount(): boolean {
  try {
    execFileSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'tmpfs', root], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function hasOpenssl(): boolean {
  try {
    return execFileSync('openssl', ['version'], { encoding: 'utf8' }).startsWith('OpenSSL')
  } catch {
    return false
  }
}
