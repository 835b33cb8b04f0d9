/** What one test file declared and did; `scripts/test-file.ts` hands it to the runner. */
export const record: { declared: number; executed: number; skipped: string[] } = {
  declared: 0,
  executed: 0,
  skipped: [],
}
