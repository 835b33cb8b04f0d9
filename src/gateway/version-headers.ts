/** API-01: which model answered, and whether its timestamp proof was verified. No proofs are made yet, so it never was. */
export function versionHeaders(checkpoint: string): Record<string, string> {
  return { 'X-OWM-Model-Version': checkpoint, 'X-OWM-OTS-Verified': 'false' }
}
