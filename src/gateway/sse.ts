/** A stream of server-sent events (HTML standard, 9.2) with a bound on what a slow reader leaves unread. */
export interface EventStream {
  readonly body: ReadableStream<Uint8Array>
  /** Waits while the reader is behind; does nothing once it is gone. */
  write(frame: string): Promise<void>
  /** Never waits; false when the bound is passed or the reader is gone. */
  offer(frame: string): boolean
  close(): void
}

/** Unread bytes of an answer before its generation waits for the reader. */
export const streamBufferBytes = 64 * 1024

const encoder = new TextEncoder()

export function createEventStream(maxUnreadBytes: number, onGone: () => void = () => undefined): EventStream {
  let controller: ReadableStreamDefaultController<Uint8Array>
  let open = true
  let wake: (() => void) | undefined
  const resume = (): void => {
    wake?.()
    wake = undefined
  }
  const body = new ReadableStream<Uint8Array>(
    {
      start: (given) => {
        controller = given
      },
      pull: resume,
      cancel: () => {
        if (!open) return
        open = false
        resume()
        onGone()
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: maxUnreadBytes }),
  )
  return {
    body,
    write: async (frame) => {
      if (open && (controller.desiredSize ?? 0) <= 0) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      if (open) controller.enqueue(encoder.encode(frame))
    },
    offer: (frame) => {
      const bytes = encoder.encode(frame)
      if (!open || (controller.desiredSize ?? 0) < bytes.length) return false
      controller.enqueue(bytes)
      return true
    },
    close: () => {
      if (!open) return
      open = false
      resume()
      controller.close()
    },
  }
}

/** One event; JSON has no line breaks, so one data line is enough. */
export function eventFrame(type: string, data: unknown, id?: number): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`
}

/** An event without a name, as OpenAI's streams have them. */
export function dataFrame(data: unknown): string {
  return `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`
}

export const eventStreamHeaders: Readonly<Record<string, string>> = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-store',
  // Nginx would otherwise hold the events back.
  'X-Accel-Buffering': 'no',
}
