import * as assert from 'uvu/assert'
import { createIdentity } from '../../src/identity/index.ts'
import { errorCode, manualClock } from '../../src/lib/index.ts'
import { bandwidthProtocol, bitsPerSecond, serveBandwidth } from '../../src/manifests/bandwidth.ts'
import { createBandwidthMeter, measureBandwidth } from '../../src/manifests/index.ts'
import type { Network } from '../../src/network/index.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { suite } from '../suite.ts'
import { createHub } from './fake-network.ts'
import { until } from './until.ts'

const test = suite('bandwidth')
const signal = AbortSignal.timeout(15_000)

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'none'
  } catch (error) {
    return errorCode(error)
  }
}

/** Counts what moves. */
function counted(network: Network): { readonly network: Network; readonly moved: { up: number; down: number } } {
  const moved = { up: 0, down: 0 }
  const request: Network['request'] = async (peer, spec, message, options) => {
    const answer = await network.request(peer, spec, message, options)
    if (spec.name === 'bandwidth') {
      moved.up += (message as { payload: Uint8Array }).payload.byteLength
      moved.down += (answer as { payload: Uint8Array }).payload.byteLength
    }
    return answer
  }
  return { network: { ...network, request }, moved }
}

test('both directions are measured with a bounded amount of bytes', async () => {
  const hub = createHub('m')
  const clock = manualClock()
  const [a, b] = [counted(hub.join(createIdentity())), hub.join(createIdentity())]
  serveBandwidth(b, clock)
  hub.connect(a.network, b)
  const measured = await measureBandwidth(a.network, b.self, signal)
  assert.ok(measured.upBitsPerSecond > 0 && Number.isSafeInteger(measured.upBitsPerSecond))
  assert.ok(measured.downBitsPerSecond > 0 && measured.downBitsPerSecond <= 100e9)
  for (const bytes of [a.moved.up, a.moved.down]) assert.ok(bytes >= 16 * 1024 && bytes <= 4 * 1024 * 1024, `${bytes}`)
})

test('strangers, relayed peers and a second measuring peer are refused', async () => {
  const hub = createHub('m')
  const clock = manualClock()
  const [a, b, c, d] = [1, 2, 3, 4].map(() => hub.join(createIdentity())) as [Network, Network, Network, Network]
  serveBandwidth(b, clock)
  assert.is(await codeOf(measureBandwidth(a, b.self, signal)), 'unreachable')
  hub.connect(d, b, { relayed: true })
  assert.is(await codeOf(measureBandwidth(d, b.self, signal)), 'relayed')
  // One that does not keep to it is refused by the other side.
  const probe = { payload: new Uint8Array(), want: 1 }
  assert.is(await codeOf(d.request(b.self, bandwidthProtocol, probe)), 'relayed')
  hub.connect(a, b)
  hub.connect(c, b)
  await a.request(b.self, bandwidthProtocol, probe)
  assert.is(await codeOf(measureBandwidth(c, b.self, signal)), 'busy')
  clock.advance(3000)
  assert.is(await codeOf(measureBandwidth(c, b.self, signal)), 'none')
})

test('answers of wrong lengths give no figure, one that never comes gives 0, an abort is an abort', async () => {
  const hub = createHub('m')
  const [a, b] = [hub.join(createIdentity()), hub.join(createIdentity())]
  hub.connect(a, b)
  b.handle(bandwidthProtocol, async ({ payload }) => ({ payload: new Uint8Array(5), received: payload.byteLength }))
  assert.is(await codeOf(measureBandwidth(a, b.self, signal)), 'bad_answer')
  b.handle(bandwidthProtocol, async ({ want }) => ({ payload: new Uint8Array(want), received: 7 }))
  assert.is(await codeOf(measureBandwidth(a, b.self, signal)), 'bad_answer')
  const request: Network['request'] = (peer, spec, message, options) =>
    (message as { want: number; payload: Uint8Array }).want + (message as { payload: Uint8Array }).payload.byteLength >
    0
      ? new Promise((_, reject) => options?.signal?.addEventListener('abort', () => reject(options.signal?.reason)))
      : a.request(peer, spec, message, options)
  serveBandwidth(b, manualClock())
  const stalled = { ...a, request }
  assert.equal(await measureBandwidth(stalled, b.self, signal), { upBitsPerSecond: 0, downBitsPerSecond: 0 })
  assert.is(await codeOf(measureBandwidth(a, b.self, AbortSignal.abort(new Error('stop')))), 'internal_error')
})

test('a rate is what moved over the time beyond one round trip', () => {
  assert.is(bitsPerSecond(1_000_000, 1000, 0), 8_000_000)
  assert.is(bitsPerSecond(1_000_000, 1000, 200), 10_000_000)
  assert.is(bitsPerSecond(1_000_000, 1000, 5000), 16_000_000)
  assert.is(bitsPerSecond(1_000_000, 0, 0), 0)
  assert.is(bitsPerSecond(1_000_000, 1e-9, 0), 100e9)
})

test('the meter knows nothing at first, measures to direct neighbours alone, and seldom', async () => {
  const hub = createHub('m')
  const clock = manualClock()
  const [a, b, c] = [counted(hub.join(createIdentity())), hub.join(createIdentity()), hub.join(createIdentity())]
  serveBandwidth(b, clock)
  serveBandwidth(c, clock)
  let load = 0
  let measured = 0
  const meter = createBandwidthMeter(
    { network: a.network, clock, logger: silentLogger },
    { loadPermille: () => load, onMeasured: () => measured++ },
  )
  await meter.start()
  hub.connect(a.network, c, { relayed: true })
  clock.advance(10_000)
  await until(() => true)
  assert.equal(meter.estimate(), { upBitsPerSecond: 0, downBitsPerSecond: 0 })

  hub.connect(a.network, b)
  load = 950
  clock.advance(30_000)
  await until(() => true)
  assert.is(measured, 0)
  load = 0
  clock.advance(30_000)
  await until(() => measured === 1)
  assert.ok(meter.estimate().upBitsPerSecond > 0 && meter.estimate().downBitsPerSecond > 0)
  const movedOnce = a.moved.up
  for (let second = 0; second < 590; second++) clock.advance(1000)
  await until(() => true)
  assert.is(a.moved.up, movedOnce)
  clock.advance(11_000)
  await until(() => measured === 2)
  await meter.stop()
  await meter.stop()
  clock.advance(3_600_000)
  await until(() => true)
  assert.is(measured, 2)
})

test.run()
