import { multiaddr } from '@multiformats/multiaddr'
import * as assert from 'uvu/assert'
import { bare } from '../../src/network/reconnect.ts'
import { suite } from '../suite.ts'

const test = suite('addresses that others tell')
const id = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'

test('the peer at the end of an address is left away, a relay in the middle stays', () => {
  assert.is(bare(multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/${id}`)), '/ip4/127.0.0.1/tcp/1')
  assert.is(bare(multiaddr('/ip4/127.0.0.1/tcp/1')), '/ip4/127.0.0.1/tcp/1')
  assert.is(bare(multiaddr(`/p2p/${id}/p2p-circuit/p2p/${id}`)), `/p2p/${id}/p2p-circuit/p2p/${id}`)
})

test('a host name that no parser takes as text does not throw', () => {
  const { bytes } = multiaddr(`/dns4/abcdef/tcp/1/p2p/${id}`)
  const crafted = Buffer.from(bytes)
  crafted.write('ab/zzz', crafted.indexOf('abcdef'))
  assert.is(bare(multiaddr(new Uint8Array(crafted))), '/dns4/ab/zzz/tcp/1')
})

test.run()
