/**
 * How the command line talks to the peer of this machine: a handful of verbs over a Unix socket in the data directory.
 * Who may open the socket (mode 0600, in a folder of mode 0700) is the operator; there is no other authentication.
 *
 * A verb is `POST /<verb>` with a JSON body. The answer is one JSON line, or many when the verb streams; an error is a
 * line `{"error":{"code","message"}}`.
 *
 * @example
 * const control = createControlServer({ logger }, { socketPath, verbs: { status: verb(z.object({}), () => status()) } })
 * await control.start()
 * const client = createControlClient(socketPath)
 * console.log(await client.call('status'))
 */
import type { ZodType } from 'zod'

/** What a verb takes and does. It returns a JSON value, or a stream of them. */
export interface Verb {
  readonly input: ZodType
  run(input: unknown, signal: AbortSignal): Promise<unknown> | AsyncIterable<unknown>
}

/** Ties a verb's schema to its code, so that `run` sees the parsed input. */
export function verb<Input>(
  input: ZodType<Input>,
  run: (input: Input, signal: AbortSignal) => Promise<unknown> | AsyncIterable<unknown>,
): Verb {
  return { input, run: (value, signal) => run(value as Input, signal) }
}

export { type ControlClient, createControlClient } from './client.ts'
export { createControlServer, socketPathFor } from './server.ts'
export type { PeerFacts, PeerRow, PeerStatus } from './status.ts'
export { type ExportPiece, operatorVerbs, type RunBaselines } from './verbs.ts'
