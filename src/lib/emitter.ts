/** A typed stream of events inside one process. A listener that throws is reported and does not harm the others. */
export interface Emitter<T> {
  /** Returns the way to stop listening. */
  on(listener: (event: T) => void): () => void
  emit(event: T): void
}

export function createEmitter<T>(onError: (error: unknown) => void = reportLater): Emitter<T> {
  const listeners = new Set<(event: T) => void>()
  return {
    on: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    emit: (event) => {
      for (const listener of [...listeners]) {
        try {
          listener(event)
        } catch (error) {
          onError(error)
        }
      }
    },
  }
}

function reportLater(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
