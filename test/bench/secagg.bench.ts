import { keystream } from '../../src/federation/privacy/keystream.ts'
import { type Plan, plainSum, secureSum, shapeOf } from '../federation/privacy-mesh.ts'

/** The 2NN of McMahan et al. 2017: 784-200-200-10. */
const parameters = 199_210
const peers = 32
const gone = 10
const threshold = 22

/**
 * A secure sum of 32 peers of which 10 vanish after they have masked: before they have sent their masked updates
 * (`unsent`, which must be unmasked by their keys), and after (`sent`, where they are counted). All bytes of all messages
 * of the protocol are counted, for each peer up to one member of the committee and down from it, beside the bytes of the
 * same update in plain fixed point: as many numbers of 16 bits.
 */
export async function run(): Promise<Record<string, unknown>> {
  const plan: Plan = { seed: 1, peers, members: 1, threshold, parameters, bits: 16 }
  const vanishing = (when: 'mask' | 'input') => Object.fromEntries(Array.from({ length: gone }, (_, i) => [i, when]))
  const figures: Record<string, unknown> = { peers, gone, threshold, parameters, plainBytes: plainBytes(plan) }
  let exact = true
  let largest = 0
  for (const [name, when] of [
    ['unsent', 'mask'],
    ['sent', 'input'],
  ] as const) {
    const outcome = secureSum({ ...plan, vanish: vanishing(when) })
    const expected = plainSum(outcome)
    const [sum] = Object.values(outcome.sums)
    exact &&=
      sum !== undefined &&
      outcome.survivors.length === (when === 'mask' ? peers - gone : peers) &&
      sum.samples === expected.samples &&
      sum.codes.every((code, i) => code === expected.codes[i])
    const stayed = outcome.peers.slice(gone)
    const up = Math.max(...stayed.map((peer) => outcome.upBytes[peer] ?? 0))
    const down = Math.max(...stayed.map((peer) => outcome.downBytes[peer] ?? 0))
    largest = Math.max(largest, (up + down) / plainBytes(plan))
    figures[`${name}UpBytes`] = up
    figures[`${name}DownBytes`] = down
    figures[`${name}MaskMs`] = Math.round(outcome.maskMs / peers)
    figures[`${name}UnmaskMs`] = Math.round(outcome.unmaskMs)
  }
  return {
    exact,
    bytesRatio: Number(largest.toFixed(3)),
    maskMs: figures['unsentMaskMs'],
    unmaskMs: figures['unsentUnmaskMs'],
    keystreamMegabytesPerSecond: keystreamSpeed(),
    ...figures,
  }
}

function plainBytes(plan: Plan): number {
  return (shapeOf(plan).parameters * 16) / 8
}

function keystreamSpeed(): number {
  const words = 2 ** 24
  const startedMs = performance.now()
  keystream(new Uint8Array(32).fill(7), words)
  return Math.round((words * 4) / 1000 / (performance.now() - startedMs))
}
