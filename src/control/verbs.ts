import { z } from 'zod'
import type { ContentStore } from '../content/index.ts'
import type { ExportFile, FederationEvent } from '../federation/index.ts'
import type { CheckpointAnswerer } from '../inference/index.ts'
import { OwmError } from '../lib/index.ts'
import type { OfferedData } from '../training/index.ts'
import { type Verb, verb } from './index.ts'
import { createNewRun, newRunSchema } from './new-run.ts'
import { type PeerFacts, peerRows, peerStatus, type Watched } from './status.ts'

/** A listener that reads slower than things happen is cut off rather than remembered for. */
const maxQueuedEvents = 4_096
const maxPromptBytes = 32 * 1024

/** A file of an export goes in pieces of this size, in base64. */
const exportPieceBytes = 256 * 1024
const maxCertificateCharacters = 1_500_000

const nothing = z.strictObject({})
const runField = z.string().min(1).max(128)
const controlSchema = z.strictObject({ run: runField, action: z.enum(['pause', 'resume', 'finish', 'cancel']) })
const partSchema = z.strictObject({ run: runField, trains: z.boolean() })
const auditSchema = z.strictObject({
  run: runField,
  round: z.int().min(1).max(1_000_000).optional(),
  /** In base64; judged in the place of the peer's own. */
  certificate: z.base64().max(maxCertificateCharacters).optional(),
})
const exportSchema = z.strictObject({ run: runField })

/** A piece of a file of an exported run, in order. */
export interface ExportPiece {
  readonly path: string
  /** In base64. */
  readonly data: string
  readonly last: boolean
}
const askSchema = z.strictObject({
  prompt: z.string().min(1).max(maxPromptBytes),
  maxTokens: z.int().min(1).max(4096),
  temperature: z.number().min(0).max(2),
  model: z.string().max(64).optional(),
})
/** What simple models reach on a run's held-out text; the dashboard draws them beside the curve. */
const baselinesSchema = z.strictObject({
  run: z.string().max(128),
  values: z.array(z.strictObject({ name: z.string().max(32), bitsPerByte: z.number().positive() })).max(8),
})
export type RunBaselines = z.infer<typeof baselinesSchema>

/** Everything an operator can ask of a running peer. */
export function operatorVerbs(
  facts: PeerFacts,
  parts: Watched & {
    readonly content: ContentStore
    readonly answerer: CheckpointAnswerer
    /** What this peer trains on. */
    readonly data: OfferedData | null
    /** Asks the peer to stop; it does so once this answer is sent. */
    requestStop(): void
    keepBaselines(baselines: RunBaselines): void
    now(): number
  },
): Readonly<Record<string, Verb>> {
  return {
    status: verb(nothing, async () => peerStatus(facts, parts, parts.now())),
    peers: verb(nothing, async () => peerRows(parts)),
    runs: verb(nothing, async () => parts.federation.runs()),
    events: verb(nothing, (_, signal) => events(parts, signal)),
    createRun: verb(newRunSchema, (request, signal) => createNewRun(request, parts, parts.data, parts.now(), signal)),
    controlRun: verb(controlSchema, async ({ run, action }) => {
      await parts.federation.controlRun(run, action)
      return parts.federation.runs().find(({ id }) => id === run)
    }),
    takePart: verb(partSchema, async ({ run, trains }) => {
      await parts.federation.takePart(run, trains)
      return parts.federation.runs().find(({ id }) => id === run)
    }),
    auditRun: verb(auditSchema, ({ run, round, certificate }, signal) =>
      parts.federation.audit(run, {
        round,
        ...(certificate === undefined ? {} : { certificate: new Uint8Array(Buffer.from(certificate, 'base64')) }),
        signal,
      }),
    ),
    exportRun: verb(exportSchema, ({ run }, signal) => pieces(parts.federation.exportRun(run, signal))),
    baselines: verb(baselinesSchema, async (baselines) => parts.keepBaselines(baselines)),
    ask: verb(askSchema, (request, signal) => ask(request, parts.answerer, signal)),
    stop: verb(nothing, async () => {
      setImmediate(parts.requestStop)
      return { stopping: true }
    }),
  }
}

async function* pieces(files: AsyncIterable<ExportFile>): AsyncIterable<ExportPiece> {
  for await (const { path, bytes } of files) {
    for (let offset = 0; ; offset += exportPieceBytes) {
      const end = offset + exportPieceBytes
      const data = Buffer.from(bytes.subarray(offset, end)).toString('base64')
      yield { path, data, last: end >= bytes.byteLength }
      if (end >= bytes.byteLength) break
    }
  }
}

async function* events(
  { federation }: Pick<Watched, 'federation'>,
  signal: AbortSignal,
): AsyncIterable<FederationEvent> {
  const queue: FederationEvent[] = []
  let wake = (): void => undefined
  const off = federation.onEvent((event) => {
    queue.push(event)
    wake()
  })
  const onAbort = (): void => wake()
  signal.addEventListener('abort', onAbort)
  try {
    while (!signal.aborted) {
      if (queue.length > maxQueuedEvents)
        throw new OwmError('capacity_exceeded', 'The listener is too slow for the events.')
      const event = queue.shift()
      if (event !== undefined) yield event
      else await new Promise<void>((resolve) => (wake = resolve))
    }
  } finally {
    off()
    signal.removeEventListener('abort', onAbort)
  }
}

async function ask(request: z.infer<typeof askSchema>, answerer: CheckpointAnswerer, signal: AbortSignal) {
  const model = request.model ?? answerer.models()[0]?.id ?? ''
  const { maxTokens, temperature } = request
  const answer = await answerer.generate(model, Buffer.from(request.prompt), { maxTokens, temperature, signal })
  const chunks: Uint8Array[] = []
  for await (const chunk of answer.tokens) chunks.push(chunk)
  const text = new TextDecoder().decode(Buffer.concat(chunks))
  return { answer: text, model, checkpoint: answer.checkpoint, round: answer.round }
}
