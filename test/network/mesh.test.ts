import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { createIdentity } from '../../src/identity/index.ts'
import { OwmError, toHex } from '../../src/lib/index.ts'
import {
  createMeshStore,
  createPrivateMesh,
  decodeInvitation,
  encodeInvitation,
  invitationQr,
  type Mesh,
  meshIdOf,
  meshOf,
  publicMesh,
} from '../../src/network/index.ts'
import { confirmationTag } from '../../src/network/swarm-key.ts'
import { streamKey } from '../../src/network/swarm-stream.ts'
import { suite } from '../suite.ts'
import { claimVectors, type Vector, vectorBytes } from '../vectors.ts'

const test = suite('mesh')
const peer = createIdentity().peerId.toString()
const address = (port: number) => `/ip4/192.168.1.5/tcp/${port}/p2p/${peer}`
const home = (addresses: readonly string[] = []): Mesh => {
  const mesh = createPrivateMesh({ name: 'home', createdMs: 1_700_000_000_000 })
  return meshOf(mesh.parameters, mesh.swarmKey, addresses)
}
const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof OwmError) return error.code
    throw error
  }
  return 'accepted'
}
let folder = ''
test.beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'owm-mesh-'))
})
test.afterEach(() => rm(folder, { recursive: true, force: true }))

test('the mesh id follows from the parameters and from nothing else', () => {
  const { parameters } = home()
  assert.match(meshIdOf(parameters), /^[a-z2-7]{32}$/)
  assert.is(meshOf(parameters, new Uint8Array(32)).id, meshOf(parameters, new Uint8Array(32).fill(1)).id)
  assert.is.not(meshIdOf({ ...parameters, name: 'home2' }), meshIdOf(parameters))
  assert.is.not(meshIdOf({ ...parameters, createdMs: 1 }), meshIdOf(parameters))
})

test('bad parameters, keys and addresses are refused', () => {
  const { parameters, swarmKey } = home()
  assert.is(
    codeOf(() => meshOf(parameters, null)),
    'bad_mesh',
  )
  assert.is(
    codeOf(() => meshOf({ ...parameters, private: false }, swarmKey)),
    'bad_mesh',
  )
  assert.is(
    codeOf(() => meshOf(parameters, new Uint8Array(31))),
    'bad_mesh',
  )
  assert.is(
    codeOf(() => meshOf({ ...parameters, name: '../etc' }, swarmKey)),
    'bad_mesh',
  )
  assert.is(
    codeOf(() => meshOf({ ...parameters, extra: 1 }, swarmKey)),
    'bad_mesh',
  )
  assert.is(
    codeOf(() => meshOf(parameters, swarmKey, ['/ip4/127.0.0.1/tcp/1'])),
    'bad_address',
  )
  assert.is(
    codeOf(() => meshOf(parameters, swarmKey, ['nonsense'])),
    'bad_address',
  )
})

test('the public mesh is readable and public', async () => {
  const mesh = await publicMesh()
  assert.is(mesh.swarmKey, null)
  assert.is(mesh.parameters.private, false)
})

test('an invitation comes back as it went in, in any case and across broken lines', () => {
  const names = fc.stringMatching(/^[a-z0-9][a-z0-9 ._-]{0,20}[a-z0-9]$/)
  const ports = fc.uniqueArray(fc.integer({ min: 1, max: 65_535 }), { maxLength: 16 })
  fc.assert(
    fc.property(names, ports, fc.boolean(), fc.nat(), (name, list, isPrivate, createdMs) => {
      const mesh = meshOf(
        { v: 1, name, createdMs, private: isPrivate, faults: 'byzantine' },
        isPrivate ? new Uint8Array(randomBytes(32)) : null,
        list.map(address),
      )
      const text = encodeInvitation(mesh)
      assert.equal(decodeInvitation(text), mesh)
      assert.equal(decodeInvitation(text.toUpperCase()), mesh)
      assert.equal(decodeInvitation(` ${text.replace(/.{40}/g, '$&\r\n')}\n`), mesh)
    }),
    { numRuns: 50 },
  )
})

test('a cut invitation is called cut off, wherever it is cut', () => {
  const text = encodeInvitation(home([address(1), address(2)]))
  for (let length = 'owm:b'.length; length < text.length; length++) {
    assert.is(
      codeOf(() => decodeInvitation(text.slice(0, length))),
      'invitation_truncated',
      `cut to ${length}`,
    )
  }
})

test('a damaged invitation is never accepted, and never for another mesh', () => {
  const text = encodeInvitation(home([address(1)]))
  const characters = 'abcdefghijklmnopqrstuvwxyz234567'
  const at = fc.integer({ min: 5, max: text.length - 1 })
  fc.assert(
    fc.property(at, fc.constantFrom(...characters), (position, character) => {
      fc.pre(text[position] !== character)
      const damaged = text.slice(0, position) + character + text.slice(position + 1)
      assert.is.not(
        codeOf(() => decodeInvitation(damaged)),
        'accepted',
      )
    }),
    { numRuns: 400 },
  )
})

test('any text at all is refused with a code, never with something else', () => {
  const codes = ['invitation_foreign', 'invitation_truncated', 'invitation_damaged', 'invitation_version']
  const refused = (text: string): void => assert.ok(codes.includes(codeOf(() => decodeInvitation(text))), text)
  fc.assert(fc.property(fc.string({ unit: 'binary' }), refused))
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => refused(`owm:b${text}`)),
    { numRuns: 500 },
  )
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z2-7]{0,80}$/), (text) => refused(`owm:b${text}`)),
    { numRuns: 500 },
  )
})

test('a QR code of an invitation is a square of blocks', () => {
  const lines = invitationQr(encodeInvitation(home([address(1)]))).split('\n')
  assert.ok(lines.every((line) => /^[ \u2580\u2584\u2588]+$/.test(line)))
  assert.is(new Set(lines.map((line) => line.length)).size, 1)
  assert.is(lines.length, Math.ceil((lines[0]?.length ?? 0) / 2))
})

test('the mesh store keeps, names, prefers and forgets meshes, for the owner alone', async () => {
  const store = createMeshStore(folder)
  assert.equal(await store.list(), [])
  assert.is(await store.getDefault(), undefined)
  const [first, second] = [home([address(1)]), meshOf({ ...home().parameters, name: 'work' }, new Uint8Array(32))]
  assert.ok((await store.add(first)).isDefault)
  await store.add(second)
  const path = join(folder, 'meshes', `${first.id}.json`)
  assert.is((await stat(path)).mode & 0o777, 0o600)
  assert.is((await stat(join(folder, 'meshes'))).mode & 0o777, 0o700)
  assert.equal(await store.get('home'), { ...first, isDefault: true })
  assert.equal(await store.get(second.id), { ...second, isDefault: false })
  await store.setDefault('work')
  assert.is((await store.getDefault())?.id, second.id)
  await store.remove('work')
  assert.is(await store.getDefault(), undefined)
  assert.equal(
    (await store.list()).map((mesh) => mesh.id),
    [first.id],
  )
  assert.equal((await readdir(join(folder, 'meshes'))).sort(), [`${first.id}.json`])
})

test('the mesh store refuses what it does not know, what is ambiguous and what is damaged, and tells no key', async () => {
  const store = createMeshStore(folder)
  const mesh = await store.add(home())
  const rejects = async (promise: Promise<unknown>, code: string): Promise<OwmError> => {
    try {
      await promise
    } catch (error) {
      assert.instance(error, OwmError)
      assert.is((error as OwmError).code, code)
      return error as OwmError
    }
    return assert.unreachable(code) as never
  }
  await rejects(store.get('elsewhere'), 'unknown_mesh')
  await rejects(store.get('../../etc/passwd'), 'unknown_mesh')
  await rejects(store.add(meshOf(mesh.parameters, new Uint8Array(32))), 'mesh_key_differs')
  const twin = await store.add(meshOf({ ...mesh.parameters, createdMs: 5 }, new Uint8Array(32)))
  await rejects(store.get('home'), 'ambiguous_mesh')
  await store.remove(twin.id)

  const path = join(folder, 'meshes', `${mesh.id}.json`)
  const key = toHex(mesh.swarmKey ?? new Uint8Array())
  const text = await readFile(path, 'utf8')
  for (const damaged of [
    text.slice(0, -9),
    text.replace(key, key.slice(1)),
    text.replace('"home"', '"hole"'),
    text.replace('"v": 1', '"v": 2'),
  ]) {
    await writeFile(path, damaged)
    const error = await rejects(store.get(mesh.id), 'corrupt_mesh')
    assert.not.match(error.message, key.slice(4, 20))
  }
})

const vectors = claimVectors('mesh')
const meshOfVector = (vector: Vector): Mesh =>
  meshOf(
    vector.content['parameters'],
    vector.content['swarmKey'] === null ? null : vectorBytes(vector, 'swarmKey'),
    vector.content['addresses'] as string[],
  )
for (const vector of vectors) {
  test(`vector ${vector.valid ? 'valid' : 'invalid'}/${vector.name}`, () => {
    const invitation = String(vector.content['invitation'])
    if (!vector.valid) {
      assert.is(
        codeOf(() => decodeInvitation(invitation)),
        vector.content['code'],
      )
      return
    }
    const mesh = meshOfVector(vector)
    assert.is(mesh.id, vector.content['meshId'])
    assert.is(encodeInvitation(mesh), invitation)
    assert.equal(decodeInvitation(invitation), mesh)
    if (mesh.swarmKey === null) return
    assert.equal(confirmationTag(mesh.swarmKey, mesh.id, 'outbound'), vectorBytes(vector, 'outboundTag'))
    assert.equal(confirmationTag(mesh.swarmKey, mesh.id, 'inbound'), vectorBytes(vector, 'inboundTag'))
    const nonces = { outbound: vectorBytes(vector, 'outboundNonce'), inbound: vectorBytes(vector, 'inboundNonce') }
    for (const side of ['outbound', 'inbound'] as const) {
      assert.equal(streamKey(mesh.swarmKey, mesh.id, nonces, side), {
        key: vectorBytes(vector, `${side}Key`),
        counter: vectorBytes(vector, `${side}Counter`),
      })
    }
  })
}

test.run()
