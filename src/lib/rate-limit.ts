import type { Clock } from './time.ts'

/** A budget: `perSecond` on average, `burst` at once. */
export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

/** How many keys are remembered; the oldest is forgotten first, so that strangers cannot fill the memory. */
const maxKeys = 65_536

/** Token buckets by key (a peer id, an address, or `''` for a total). */
export interface RateLimiter {
  /** Takes `cost` from the key's budget; false when it is spent. */
  take(key: string, cost?: number): boolean
}

/** Token bucket, Turner 1986 ("leaky bucket as a meter"). */
export function createRateLimiter(rate: Rate, clock: Clock): RateLimiter {
  const buckets = new Map<string, { level: number; atMs: number }>()
  return {
    take: (key, cost = 1) => {
      const nowMs = clock.now()
      const bucket = buckets.get(key) ?? { level: rate.burst, atMs: nowMs }
      const level = Math.min(rate.burst, bucket.level + (Math.max(0, nowMs - bucket.atMs) * rate.perSecond) / 1000)
      const taken = level >= cost
      buckets.delete(key)
      buckets.set(key, { level: taken ? level - cost : level, atMs: nowMs })
      if (buckets.size > maxKeys) for (const oldest of buckets.keys()) return buckets.delete(oldest) && taken
      return taken
    },
  }
}
