import type { PeerId } from '@libp2p/interface'
import { z } from 'zod'
import { type Clock, OwmError } from '../lib/index.ts'
import type { Network, ProtocolSpec } from '../network/index.ts'
import { maxDocumentBytes } from './document.ts'

/** A page: some 400 usual manifests, 60 ms of checking. */
const maxPageBytes = 256 * 1024
const maxPageDocuments = 512
const requestTimeoutMs = 10_000
/** So many refused documents and the other peer is not worth asking: an honest one sends what it has checked itself. */
const maxBadDocuments = 8
/** A large view is sorted at most so often, however often it is asked for. Who comes in between is gossiped. */
const orderKeptMs = 2000
const largeView = 1000
/** Between so many documents the event loop gets a turn: gossip and health checks go on while a view comes in. */
const documentsPerTurn = 16

const bytes = z.instanceof<typeof Uint8Array<ArrayBufferLike>>(Uint8Array)
const keyBytes = bytes.refine((key) => key.byteLength === 32, { error: 'must have 32 bytes' })
const requestSchema = z.strictObject({
  /** `self`: the answering peer's own manifest alone. */
  scope: z.enum(['self', 'view']),
  /** The last author of the page before. */
  after: keyBytes.nullable(),
})
const responseSchema = z.strictObject({
  documents: z.array(bytes).max(maxPageDocuments),
  /** Null on the last page. */
  next: keyBytes.nullable(),
})
export type SnapshotRequest = z.infer<typeof requestSchema>
export type SnapshotResponse = z.infer<typeof responseSchema>

export const snapshotProtocol: ProtocolSpec<SnapshotRequest, SnapshotResponse> = {
  name: 'manifests',
  version: '1.0.0',
  request: requestSchema,
  response: responseSchema,
  maxRequestBytes: 128,
  // The documents, and at most 3 bytes of CBOR around each.
  maxResponseBytes: maxPageBytes + maxPageDocuments * 4 + 256,
  timeoutMs: requestTimeoutMs,
  // A view of 10,000 is 25 pages, once per peer that joins.
  rate: { perSecond: 5, burst: 64 },
}

/** Answers with pages of the view in the order of the authors' keys. */
export function createSnapshotServer(source: {
  readonly clock: Clock
  /** Authors now in the view, as hex. */
  authors(): Iterable<string>
  document(author: string): Uint8Array | undefined
  readonly self: string
}): (request: SnapshotRequest) => SnapshotResponse {
  let order: readonly string[] = []
  let orderedMs = Number.NEGATIVE_INFINITY
  return ({ scope, after }) => {
    if (scope === 'self') {
      const own = source.document(source.self)
      return { documents: own === undefined ? [] : [own], next: null }
    }
    const nowMs = source.clock.now()
    if (order.length < largeView || nowMs - orderedMs > orderKeptMs || nowMs < orderedMs) {
      // Fixed-width lower-case hex sorts as the bytes do.
      order = [...source.authors()].sort()
      orderedMs = nowMs
    }
    const documents: Uint8Array[] = []
    let pageBytes = 0
    let last = ''
    const start = after === null ? 0 : firstAfter(order, Buffer.from(after).toString('hex'))
    for (let i = start; i < order.length; i++) {
      const author = order[i] ?? ''
      const document = source.document(author)
      if (document === undefined) continue
      if (pageBytes + document.byteLength > maxPageBytes || documents.length >= maxPageDocuments) {
        return { documents, next: new Uint8Array(Buffer.from(last, 'hex')) }
      }
      documents.push(document)
      pageBytes += document.byteLength
      last = author
    }
    return { documents, next: null }
  }
}

/** Binary search: the index of the first author above `key`. */
function firstAfter(order: readonly string[], key: string): number {
  let low = 0
  let high = order.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((order[middle] ?? '') <= key) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * Fetches another peer's view page by page and hands each document to `take`, which judges it as if it had been
 * gossiped and returns false when it is a bad one. Returns how many were handed over.
 *
 * @throws OwmError what `network.request` throws, or `bad_snapshot` when the other peer does not keep to the protocol
 */
export async function fetchSnapshot(
  network: Pick<Network, 'request'>,
  peer: PeerId,
  scope: SnapshotRequest['scope'],
  options: { readonly maxDocuments: number; readonly signal: AbortSignal; take(document: Uint8Array): boolean },
): Promise<number> {
  let after: Uint8Array | null = null
  let taken = 0
  let bad = 0
  do {
    const page: SnapshotResponse = await network.request(peer, snapshotProtocol, { scope, after }, options)
    for (const document of page.documents) {
      if (taken >= options.maxDocuments) throw new OwmError('bad_snapshot', 'The view is larger than a view can be.')
      if (document.byteLength > maxDocumentBytes || !options.take(document)) bad++
      if (bad > maxBadDocuments) throw new OwmError('bad_snapshot', 'Too many of the manifests are not valid.')
      if (++taken % documentsPerTurn === 0) await nextTurn()
      options.signal.throwIfAborted()
    }
    if (page.next !== null && (page.documents.length === 0 || !isAfter(page.next, after))) {
      throw new OwmError('bad_snapshot', 'The pages do not move on.')
    }
    after = page.next
  } while (after !== null)
  return taken
}

function isAfter(next: Uint8Array, before: Uint8Array | null): boolean {
  return before === null || Buffer.compare(next, before) > 0
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
