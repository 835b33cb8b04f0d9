/** A part that runs. Both verbs are idempotent; `stop` finishes or cancels what is under way, flushes, closes. */
export interface Startable {
  start(signal?: AbortSignal): Promise<void>
  stop(): Promise<void>
}

/**
 * Starts parts in order; when one fails, stops those already started, in reverse, and rethrows.
 * The returned function stops all in reverse order and never throws: failures are handed to `onError`.
 */
export async function startInOrder(
  parts: readonly Startable[],
  onError: (error: unknown) => void,
  signal?: AbortSignal,
): Promise<() => Promise<void>> {
  const started: Startable[] = []
  const stopAll = async (): Promise<void> => {
    for (const part of started.splice(0).reverse()) await part.stop().catch(onError)
  }
  try {
    for (const part of parts) {
      signal?.throwIfAborted()
      started.push(part)
      await part.start(signal)
    }
  } catch (error) {
    await stopAll()
    throw error
  }
  return stopAll
}
