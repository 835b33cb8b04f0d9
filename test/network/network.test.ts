import * as assert from 'uvu/assert'
import { suite } from '../suite.ts'
import { addressOf, sees, startPeer, stopPeers, until } from './harness.ts'

const test = suite('network')
test.afterEach(stopPeers)

test('two peers by a bootstrap address', async () => {
  const a = await startPeer()
  const b = await startPeer({ bootstrap: [addressOf(a)] })
  await until(() => sees(a, b) && sees(b, a))
  assert.ok(b.network.traffic().sentBytes > 0)
})

test.run()
