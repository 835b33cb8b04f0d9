import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { PeerRow } from '../../src/control/index.ts'
import { owm, type RunningPeer, startPeer, temporaryFolder, until } from '../processes.ts'
import { suite } from '../suite.ts'

const test = suite('owm peer')
const running: RunningPeer[] = []
const start = async (options: Parameters<typeof startPeer>[0]): Promise<RunningPeer> => {
  const peer = await startPeer(options)
  running.push(peer)
  return peer
}
test.afterEach(async () => {
  await Promise.all(running.splice(0).map((peer) => peer.stop()))
})
const connectedTo = async (peer: RunningPeer): Promise<string[]> =>
  (await peer.call<PeerRow[]>('peers')).filter((row) => row.connected).map((row) => row.peer)

test(
  'two peers meet by a bootstrap address alone, and each command reports',
  async () => {
    const [one, two] = [temporaryFolder(), temporaryFolder()]
    const first = await start({ dataDir: one })
    const { addresses, peer, http } = await first.status()
    const second = await start({ dataDir: two, args: ['--bootstrap', addresses[0] ?? ''] })
    await until(async () => (await connectedTo(first)).length === 1 && (await connectedTo(second)).length === 1)
    const listed = await owm(['peer', 'peers', '--json', '--data-dir', two])
    assert.is(listed.code, 0)
    const rows = JSON.parse(listed.stdout) as PeerRow[]
    assert.equal(
      rows.map((row) => row.peer),
      [peer],
    )
    await until(async () => (await second.call<PeerRow[]>('peers'))[0]?.tier === 't1')
    assert.match((await owm(['peer', 'status', '--data-dir', one])).stdout, new RegExp(peer))
    const health = await fetch(`http://${http}/health`)
    assert.is(health.status, 200)
    assert.is(((await health.json()) as { ready: boolean }).ready, true)
    assert.match(await (await fetch(`http://${http}/metrics`)).text(), /process_resident_memory_bytes/)
    assert.is((await stat(join(one, 'identity.key'))).mode & 0o777, 0o600)
    const stopped = await owm(['peer', 'stop', '--data-dir', one])
    assert.is(stopped.code, 0, stopped.stderr)
    assert.is(await first.exited, 0)
    const gone = await owm(['peer', 'status', '--data-dir', one, '--json'])
    assert.is(gone.code, 69)
    assert.is((JSON.parse(gone.stdout) as { error: { code: string } }).error.code, 'not_running')
  },
  { timeoutMs: 60_000 },
)

test(
  'a peer killed with -9 starts again as itself and finds its neighbour',
  async () => {
    const [one, two] = [temporaryFolder(), temporaryFolder()]
    const first = await start({ dataDir: one })
    const { addresses, peer } = await first.status()
    const second = await start({ dataDir: two, args: ['--bootstrap', addresses[0] ?? ''] })
    await until(async () => (await connectedTo(second)).includes(peer))
    const address = /\/tcp\/(\d+)/.exec(addresses[0] ?? '')?.[1]
    first.signal('SIGKILL')
    await first.exited
    await until(async () => (await connectedTo(second)).length === 0)
    const again = await start({ dataDir: one, env: { OWM_NETWORK_LISTEN: `/ip4/127.0.0.1/tcp/${address}` } })
    assert.is((await again.status()).peer, peer)
    await until(async () => (await connectedTo(second)).includes(peer), 20_000)
  },
  { timeoutMs: 60_000 },
)

test(
  'in a private mesh a peer with another key never appears, and both sides say why',
  async () => {
    const [one, two, stranger] = [temporaryFolder(), temporaryFolder(), temporaryFolder()]
    assert.is((await owm(['mesh', 'create', 'lab', '--data-dir', one])).code, 0)
    const first = await start({ dataDir: one })
    const { addresses, peer } = await first.status()
    const { invitation } = JSON.parse((await owm(['mesh', 'invite', '--data-dir', one, '--json'])).stdout) as {
      invitation: string
    }
    assert.match(invitation, /^owm:/)
    assert.is((await owm(['mesh', 'join', invitation, '--data-dir', two])).code, 0)
    const second = await start({ dataDir: two })
    await until(async () => (await connectedTo(second)).includes(peer))

    // The same mesh by name, parameters and addresses, with another key.
    assert.is((await owm(['mesh', 'join', invitation, '--data-dir', stranger])).code, 0)
    const mesh = (await first.status()).mesh
    const file = join(stranger, 'meshes', `${mesh}.json`)
    const stored = JSON.parse(await readFile(file, 'utf8')) as { swarmKey: string }
    await writeFile(file, JSON.stringify({ ...stored, swarmKey: 'ab'.repeat(32) }), { mode: 0o600 })
    const third = await start({ dataDir: stranger, args: ['--bootstrap', addresses[0] ?? ''] })
    await until(() => third.log().includes('wrong_swarm_key') && first.log().includes('wrong_swarm_key'))
    const strangerId = (await third.status()).peer
    const rows = JSON.parse((await owm(['peer', 'peers', '--json', '--data-dir', one])).stdout) as PeerRow[]
    assert.equal(rows.map((row) => row.peer).sort(), [(await second.status()).peer])
    assert.not.ok(rows.some((row) => row.peer === strangerId))
    assert.equal(await third.call<PeerRow[]>('peers'), [])
    for (const each of [first, second, third]) assert.not.match(each.log(), /ab{10}|swarmKey":"[0-9a-f]/)
  },
  { timeoutMs: 60_000 },
)

test(
  'Ctrl-C stops cleanly, and a second peer on one machine takes free ports',
  async () => {
    const [one, two] = [temporaryFolder(), temporaryFolder()]
    const env = { OWM_NETWORK_LISTEN: '', OWM_HTTP_LISTEN: '' }
    // An empty list of addresses: the default ones stay out of the way of whatever runs on this machine.
    const first = await start({ dataDir: one })
    const second = await start({ dataDir: two, env: { ...env, OWM_HTTP_LISTEN: '127.0.0.1:0' } })
    assert.not.equal((await first.status()).http, (await second.status()).http)
    first.signal('SIGINT')
    assert.is(await first.exited, 0)
  },
  { timeoutMs: 60_000 },
)

test.run()
