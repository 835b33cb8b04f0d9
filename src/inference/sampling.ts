import { OwmError } from '../lib/index.ts'
import type { Random } from '../onnx/index.ts'

export interface SamplingOptions {
  readonly temperature: number
  readonly topK?: number | undefined
  readonly topP?: number | undefined
}

/**
 * Draws a token. The `topK` likeliest are kept, of these the fewest that together reach `topP` (nucleus sampling,
 * Holtzman et al. 2020). Temperature 0 takes the likeliest; of equals, the lowest.
 *
 * @throws OwmError `model_not_finite`
 */
export function sampleToken(
  logits: Float32Array,
  { temperature, topK, topP }: SamplingOptions,
  random: Random,
): number {
  let best = 0
  for (let token = 0; token < logits.length; token++) {
    if (!Number.isFinite(logits[token]!)) {
      throw new OwmError('model_not_finite', 'The model gives numbers that are not finite; its weights are broken.')
    }
    if (logits[token]! > logits[best]!) best = token
  }
  if (temperature === 0) return best

  const top = logits[best]!
  let kept = Array.from(logits, (logit, token) => ({ token, weight: Math.exp((logit - top) / temperature) }))
  if (topK !== undefined || topP !== undefined) {
    kept.sort((a, b) => b.weight - a.weight || a.token - b.token)
    if (topK !== undefined) kept = kept.slice(0, topK)
    if (topP !== undefined) kept = nucleus(kept, topP)
  }
  let rest = random.unit() * sumOf(kept)
  for (const { token, weight } of kept) {
    rest -= weight
    if (rest < 0) return token
  }
  // Rounding can leave a trifle over.
  return kept.at(-1)!.token
}

type Weighted = { readonly token: number; readonly weight: number }

function nucleus(sorted: readonly Weighted[], share: number): Weighted[] {
  const enough = sumOf(sorted) * share
  let sum = 0
  const last = sorted.findIndex(({ weight }) => {
    sum += weight
    return sum >= enough
  })
  return sorted.slice(0, last < 0 ? sorted.length : last + 1)
}

function sumOf(tokens: readonly Weighted[]): number {
  return tokens.reduce((sum, { weight }) => sum + weight, 0)
}
