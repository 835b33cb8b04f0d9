/**
 * Nothing waits for ever: the caller's signal, a time-out and the owner's shutdown are joined into one.
 * Undefined members are skipped.
 */
export function joinSignals(...signals: readonly (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined))
}

/** The caller's signal, bounded by `timeoutMs`. */
export function withTimeout(timeoutMs: number, ...signals: readonly (AbortSignal | undefined)[]): AbortSignal {
  return joinSignals(AbortSignal.timeout(timeoutMs), ...signals)
}

/** Rejects with the signal's reason when it aborts, else settles as `promise` does. The work itself is not stopped. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    promise.catch(() => undefined)
    return Promise.reject(signal.reason)
  }
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** Resolves after `ms`, or rejects when the signal aborts. Keeps no process alive by itself when `unref` is set. */
export function sleep(ms: number, signal?: AbortSignal, options: { readonly unref?: boolean } = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    if (options.unref) timer.unref()
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
