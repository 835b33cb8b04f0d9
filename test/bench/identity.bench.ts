import { createIdentity, verifySigned } from '../../src/identity/index.ts'

const payloadBytes = 1024
const rounds = 2000

/** Signing and verifying documents of 1 KiB: by authors known from before, and by ones never seen. Microseconds each. */
export async function run(): Promise<Record<string, number>> {
  const payload = new Uint8Array(payloadBytes).fill(7)
  const identity = createIdentity()
  const document = identity.sign('bench', payload)
  const strangers = Array.from({ length: rounds }, () => createIdentity().sign('bench', payload))
  const forged = document.slice()
  forged[forged.length - 1] = forged[forged.length - 1]! ^ 1
  return {
    payloadBytes,
    signMicros: microsEach(() => identity.sign('bench', payload)),
    verifyNewAuthorMicros: microsEach((i) => verifySigned('bench', strangers[i] ?? document, 2 * payloadBytes)),
    verifyKnownAuthorMicros: microsEach(() => verifySigned('bench', document, 2 * payloadBytes)),
    refuseForgedMicros: microsEach(() => {
      try {
        verifySigned('bench', forged, 2 * payloadBytes)
      } catch {
        return
      }
      throw new Error('a forged document passed')
    }),
  }
}

function microsEach(body: (i: number) => void): number {
  const startedMs = performance.now()
  for (let i = 0; i < rounds; i++) body(i)
  return Math.round(((performance.now() - startedMs) * 1000) / rounds)
}
