/** Waits for a state that the event loop's turns bring about. */
export async function until(condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const endsMs = Date.now() + timeoutMs
  // At least a few turns, so that work begun by a clock's tick gets on.
  for (let turn = 0; turn < 3 || !condition(); turn++) {
    if (Date.now() > endsMs) throw new Error(`the state did not come: ${condition}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
