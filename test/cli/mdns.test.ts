import * as assert from 'uvu/assert'
import type { PeerRow } from '../../src/control/index.ts'
import { makeNamespace } from '../namespace.ts'
import { startPeer, temporaryFolder, until } from '../processes.ts'
import { suite } from '../suite.ts'

const test = suite('owm peer on a bare local network')
const namespace = makeNamespace('mdns')

if (namespace === undefined) {
  test.skip(
    'two peers find each other by mDNS alone',
    'network namespaces are not permitted here, or iproute2 is missing',
  )
} else {
  const { inside, remove } = namespace
  test.after(remove)
  test(
    'two peers find each other by mDNS alone',
    async () => {
      const env = { OWM_NETWORK_MDNS: 'true', OWM_NETWORK_LISTEN: '/ip4/0.0.0.0/tcp/0' }
      const folders = [temporaryFolder(), temporaryFolder()]
      const peers = await Promise.all(folders.map((dataDir) => startPeer({ dataDir, env, inside })))
      const ids = await Promise.all(peers.map(async (peer) => (await peer.status()).peer))
      await until(async () => {
        const seen = await Promise.all(peers.map((peer) => peer.call<PeerRow[]>('peers')))
        return seen.every((rows) => rows.some((row) => row.connected && row.tier !== null))
      }, 40_000)
      const rows = (await peers[0]?.call<PeerRow[]>('peers')) ?? []
      assert.equal(
        rows.map((row) => row.peer),
        [ids[1]],
      )
      await Promise.all(peers.map((peer) => peer.stop()))
    },
    { timeoutMs: 90_000 },
  )
}

test.run()
