import { OwmError } from '../../lib/index.ts'

/**
 * How much a run has told about any one participant, as (epsilon, delta). Renyi differential privacy of the sampled
 * Gaussian mechanism at integer orders (Mironov, Talwar and Zhang 2019, section 3.3), which adds up round by round, and
 * is converted at the end (Balle et al. 2020, theorem 21; Canonne et al. 2020, proposition 12). An upper bound; it is
 * shown to people and stops a run that has spent its budget, so it may use logarithms.
 *
 * Neighbours are data sets that differ by one participant's whole data, there or not there.
 */
export interface Release {
  /** Standard deviation of the noise, in clip norms. */
  readonly noiseMultiplier: number
  /**
   * The chance with which each participant takes part, by itself. Less than 1 only where nobody learns who took part:
   * in a mesh all know, and this is 1.
   */
  readonly sampleRate: number
}
export interface Budget extends Release {
  readonly rounds: number
  readonly delta: number
}

/** Orders up to 256, then coarser: the best one is small unless epsilon is far below 1. */
const orders: readonly number[] = [...Array.from({ length: 255 }, (_, i) => i + 2), 320, 384, 448, 512, 768, 1024]
/** log k!, for all k up to the largest order. */
const logFactorials = new Float64Array(1025)
for (let k = 2; k < logFactorials.length; k++) logFactorials[k] = logFactorials[k - 1]! + Math.log(k)

/** What has been spent: one number per order. Add up ledgers by `spend`; nothing else is needed to go on later. */
export type Ledger = readonly number[]
export const emptyLedger: Ledger = orders.map(() => 0)

/** The ledger after `rounds` more. @throws OwmError `bad_privacy` */
export function spend(ledger: Ledger, release: Release, rounds = 1): Ledger {
  checkRelease(release)
  if (ledger.length !== orders.length) throw new OwmError('bad_privacy', `A ledger has ${orders.length} numbers.`)
  return ledger.map((spent, i) => spent + rounds * renyiDivergence(release, orders[i]!))
}

/** The smallest epsilon that holds with this delta. Infinity without noise. */
export function epsilonOf(ledger: Ledger, delta: number): number {
  if (!(delta > 0 && delta < 1)) throw new OwmError('bad_privacy', `A delta of ${delta} is not between 0 and 1.`)
  let least = Number.POSITIVE_INFINITY
  for (const [i, spent] of ledger.entries()) {
    const order = orders[i]!
    if (spent === 0) return 0
    const epsilon = spent + Math.log1p(-1 / order) - (Math.log(delta) + Math.log(order)) / (order - 1)
    least = Math.min(least, Math.max(0, epsilon))
  }
  return least
}

/** Epsilon of a whole run. @throws OwmError `bad_privacy` */
export function accountant({ noiseMultiplier, sampleRate, rounds, delta }: Budget): number {
  return epsilonOf(spend(emptyLedger, { noiseMultiplier, sampleRate }, rounds), delta)
}

/** Where the search ends: more precise than anybody can choose noise. */
const noisePrecision = 1e-4
const maxNoiseMultiplier = 1e6

/**
 * The least noise multiplier that keeps a run within `epsilon`.
 *
 * @throws OwmError `bad_privacy`; also when no noise up to 10^6 clip norms is enough
 */
export function noiseFor(epsilon: number, { sampleRate, rounds, delta }: Omit<Budget, 'noiseMultiplier'>): number {
  if (!(epsilon > 0)) throw new OwmError('bad_privacy', `An epsilon of ${epsilon} is not above 0.`)
  const keeps = (noiseMultiplier: number): boolean =>
    accountant({ noiseMultiplier, sampleRate, rounds, delta }) <= epsilon
  let most = 1
  while (!keeps(most)) {
    most *= 2
    if (most > maxNoiseMultiplier) throw new OwmError('bad_privacy', `No noise keeps ${rounds} rounds in ${epsilon}.`)
  }
  let least = most === 1 ? 0 : most / 2
  while (most - least > noisePrecision * most) {
    const middle = (least + most) / 2
    if (keeps(middle)) most = middle
    else least = middle
  }
  return most
}

/**
 * The Renyi divergence of one release at an integer order a: log(sum over k of C(a, k) (1 - q)^(a - k) q^k
 * exp((k^2 - k) / (2 z^2))) / (a - 1). All terms are positive: their logarithms are added without cancellation.
 */
export function renyiDivergence({ noiseMultiplier, sampleRate }: Release, order: number): number {
  if (sampleRate === 0) return 0
  if (noiseMultiplier === 0) return Number.POSITIVE_INFINITY
  const half = 1 / (2 * noiseMultiplier * noiseMultiplier)
  if (sampleRate === 1) return order * half
  const logIn = Math.log(sampleRate)
  const logOut = Math.log1p(-sampleRate)
  let logSum = Number.NEGATIVE_INFINITY
  for (let k = 0; k <= order; k++) {
    const logChoose = logFactorials[order]! - logFactorials[k]! - logFactorials[order - k]!
    logSum = logAdd(logSum, logChoose + k * logIn + (order - k) * logOut + (k * k - k) * half)
  }
  return Math.max(0, logSum) / (order - 1)
}

/** log(exp(a) + exp(b)). */
function logAdd(a: number, b: number): number {
  const larger = Math.max(a, b)
  return larger === Number.NEGATIVE_INFINITY ? larger : larger + Math.log1p(Math.exp(-Math.abs(a - b)))
}

function checkRelease({ noiseMultiplier, sampleRate }: Release): void {
  if (noiseMultiplier >= 0 && Number.isFinite(noiseMultiplier) && sampleRate >= 0 && sampleRate <= 1) return
  throw new OwmError('bad_privacy', `Noise of ${noiseMultiplier} at a sample rate of ${sampleRate} means nothing.`)
}
