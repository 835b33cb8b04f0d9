import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import * as assert from 'uvu/assert'
import { type ContentInit, type ContentStore, chunkBytes, createContentStore } from '../../src/content/index.ts'
import { cidOf, codecs, encode, type OwmError } from '../../src/lib/index.ts'
import { silentLogger, silentMetrics } from '../../src/observability/index.ts'
import { suite } from '../suite.ts'

const test = suite('content')
const stops: (() => Promise<void> | void)[] = []
test.after(async () => {
  for (const stop of stops.reverse()) await stop()
})

/** A bare libp2p in the place of the network room: TCP on loopback, nothing that discovers. */
async function peer(init: Partial<ContentInit> = {}) {
  const libp2p = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify() },
  })
  const network = { libp2p, peers: () => libp2p.getPeers().map((id) => ({ id })) as never }
  const content = createContentStore(
    { network, logger: silentLogger, metrics: silentMetrics },
    { maxBytes: 64 * 1024 * 1024, ...init },
  )
  stops.push(
    () => libp2p.stop(),
    () => content.stop(),
  )
  await content.start()
  return { libp2p, content, connect: (other: typeof libp2p) => libp2p.dial(other.getMultiaddrs()) }
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'owm-content-'))
  stops.push(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function noiseBytes(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: OwmError) => error.code,
  )

test('a value comes back whole, whatever its length', async () => {
  const { content } = await peer()
  for (const length of [0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 2 * chunkBytes, 3 * chunkBytes + 7]) {
    const bytes = noiseBytes(length, length + 1)
    const cid = await content.put(bytes)
    assert.is(cid.toString(), content.cidOf(bytes).toString())
    assert.is(cid.code, length <= chunkBytes ? codecs.raw : codecs.dagCbor)
    assert.is(cid.multihash.code, 0x1e)
    assert.equal(await content.get(cid, { maxBytes: length }), bytes)
    assert.ok(await content.has(cid))
  }
})

test('blocks on disk outlive the store, and half written ones do not', async () => {
  const path = folder()
  const first = await peer({ path })
  const bytes = noiseBytes(2 * chunkBytes + 5)
  const cid = await first.content.put(bytes)
  const before = await first.content.stat()
  assert.is(before.blocks, 4)
  await first.content.stop()
  const shard = readdirSync(path)[0] ?? ''
  writeFileSync(join(path, shard, '.HALF.data.abc.tmp'), 'torn')
  const second = await peer({ path })
  assert.equal(await second.content.get(cid, { maxBytes: bytes.length }), bytes)
  assert.equal(await second.content.stat(), before)
  assert.not.ok(readdirSync(join(path, shard)).some((name) => name.endsWith('.tmp')))
})

test('a value is fetched from the peer that is named, and then is here', async () => {
  const [a, b] = [await peer(), await peer()]
  const bytes = noiseBytes(2 * chunkBytes + 100)
  const cid = await a.content.put(bytes)
  await b.libp2p.peerStore.merge(a.libp2p.peerId, { multiaddrs: a.libp2p.getMultiaddrs() })
  assert.not.ok(await b.content.has(cid))
  assert.equal(await b.content.get(cid, { maxBytes: bytes.length, from: [a.libp2p.peerId] }), bytes)
  assert.ok(await b.content.has(cid))
  await a.libp2p.stop()
  assert.equal(await b.content.get(cid, { maxBytes: bytes.length }), bytes)
})

test('a named peer that lacks the value is passed over for a connected one', async () => {
  const [a, b, c] = [await peer(), await peer(), await peer()]
  await c.connect(a.libp2p)
  await c.connect(b.libp2p)
  const bytes = noiseBytes(5000)
  const cid = await b.content.put(bytes)
  assert.equal(await c.content.get(cid, { maxBytes: 5000, from: [a.libp2p.peerId] }), bytes)
  const unknown = cidOf(noiseBytes(9), codecs.raw)
  assert.is(await codeOf(c.content.get(unknown, { maxBytes: 100 })), 'not_found')
})

test('a value over the limit is refused before its chunks are fetched', async () => {
  const [a, b] = [await peer(), await peer()]
  await b.connect(a.libp2p)
  const bytes = noiseBytes(3 * chunkBytes)
  const cid = await a.content.put(bytes)
  assert.is(await codeOf(b.content.get(cid, { maxBytes: bytes.length - 1 })), 'oversized')
  assert.is((await b.content.stat()).blocks, 1)
  const small = await a.content.put(noiseBytes(100))
  assert.is(await codeOf(b.content.get(small, { maxBytes: 99 })), 'oversized')
})

test('nobody who has it: not_found, or timeout when the caller stops waiting', async () => {
  const { content } = await peer()
  assert.is(await codeOf(content.get(cidOf(encode({ nobody: true })), { maxBytes: 100 })), 'not_found')
  const { libp2p } = await peer()
  const silent = await peer()
  await silent.connect(libp2p)
  // A peer that takes the wants and never answers.
  await libp2p.unhandle('/ipfs/bitswap/1.2.0')
  await libp2p.handle('/ipfs/bitswap/1.2.0', () => undefined)
  const options = { maxBytes: 100, signal: AbortSignal.timeout(100), from: [libp2p.peerId] }
  assert.is(await codeOf(silent.content.get(cidOf(noiseBytes(3), codecs.raw), options)), 'timeout')
})

test('a damaged block is `corrupt` while nobody has it, and mended once somebody does', async () => {
  const path = folder()
  const [a, b] = [await peer({ path }), await peer()]
  const bytes = noiseBytes(chunkBytes + 10)
  const cid = await a.content.put(bytes)
  const file = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .find((name) => readFileSync(name).length === 10)
  if (file === undefined) throw new Error('the chunk of 10 bytes is not on disk')
  writeFileSync(file, 'other text')
  assert.is(await codeOf(a.content.get(cid, { maxBytes: bytes.length })), 'corrupt')
  await b.content.put(bytes)
  await a.connect(b.libp2p)
  assert.equal(await a.content.get(cid, { maxBytes: bytes.length }), bytes)
  assert.equal([...readFileSync(file)], [...bytes.subarray(chunkBytes)])
})

test('putting a value again mends a damaged block', async () => {
  const path = folder()
  const { content } = await peer({ path })
  const bytes = noiseBytes(77)
  const cid = await content.put(bytes)
  const shard = join(path, readdirSync(path)[0] ?? '')
  writeFileSync(join(shard, readdirSync(shard)[0] ?? ''), 'x')
  await content.put(bytes)
  assert.equal(await content.get(cid, { maxBytes: 100 }), bytes)
})

test('a list of chunks that lies is corrupt, and a CID of another kind is not ours', async () => {
  const { content } = await peer()
  const chunk = await content.put(noiseBytes(50))
  const lie = async (list: unknown): Promise<string> => {
    // The store knows blocks by their hash alone: bytes put as raw are found as dag-cbor.
    const bytes = encode(list)
    await content.put(bytes)
    return codeOf(content.get(cidOf(bytes), { maxBytes: 100 * chunkBytes }))
  }
  assert.is(await lie({ v: 1, size: chunkBytes + 50, chunks: [chunk] }), 'corrupt')
  assert.is(await lie({ v: 1, size: chunkBytes + 50, chunks: [chunk, chunk] }), 'corrupt')
  assert.is(await lie({ v: 1, size: 2, chunks: [] }), 'corrupt')
  assert.is(await lie({ v: 2, size: chunkBytes + 50, chunks: [chunk, chunk] }), 'corrupt')
})

test('a store that is full says so', async () => {
  const { content } = await peer({ maxBytes: 1000 })
  await content.put(noiseBytes(900))
  assert.is(await codeOf(content.put(noiseBytes(101, 2)) as Promise<unknown>), 'store_full')
  await content.put(noiseBytes(100, 3))
  const contents: ContentStore = content
  assert.is((await contents.stat()).bytes, 1000)
})

test('what is removed is gone from the disk, but not what a kept value shares with it', async () => {
  const { content } = await peer({ path: folder() })
  const shared = noiseBytes(chunkBytes, 5)
  const valueWith = (seed: number): Uint8Array => new Uint8Array(Buffer.concat([shared, noiseBytes(1000, seed)]))
  const [old, fresh] = [await content.put(valueWith(6)), await content.put(valueWith(7))]
  const small = await content.put(noiseBytes(10, 8))
  const before = await content.stat()
  await content.remove([old, small], { keeping: [fresh] })
  const after = await content.stat()
  // The list, its last chunk, and the small one.
  assert.is(before.blocks - after.blocks, 3)
  assert.equal([await content.has(old), await content.has(small), await content.has(fresh)], [false, false, true])
  assert.equal(await content.get(fresh, { maxBytes: 4 * chunkBytes }), valueWith(7))
  await content.remove([fresh], { keeping: [] })
  assert.equal(await content.stat(), { blocks: 0, bytes: 0 })
  await content.remove([fresh], { keeping: [] })
})

test('a value that is stored while another is removed keeps the blocks that both have', async () => {
  const { content } = await peer({ path: folder() })
  const shared = noiseBytes(chunkBytes, 15)
  const valueWith = (seed: number): Uint8Array => new Uint8Array(Buffer.concat([shared, noiseBytes(1000, seed)]))
  for (let i = 0; i < 10; i++) {
    const old = await content.put(valueWith(16))
    const [fresh] = await Promise.all([content.put(valueWith(100 + i)), content.remove([old], { keeping: [] })])
    assert.ok(await content.has(fresh))
    await content.remove([fresh, old], { keeping: [] })
  }
})

test('a file in the place of the folder is an error with a code', async () => {
  const path = join(folder(), 'blocks')
  writeFileSync(path, '')
  assert.is(await codeOf(peer({ path })), 'data_dir_unusable')
})

test.run()
