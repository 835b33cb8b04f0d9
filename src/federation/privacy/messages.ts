import { z } from 'zod'
import { blake3Of } from '../../lib/index.ts'
import { attemptField, bytesField, cidField, documentField, roundField } from '../fields.ts'
import { peerSetBytes, placesOf } from './peer-set.ts'
import {
  type Consent,
  commitmentBytes,
  digestBytes,
  type Keys,
  maxStatementBytes,
  openStatement,
  type Shares,
  type Statement,
  sealedBytes,
} from './statements.ts'
import { maxPeers } from './sum-shape.ts'

/** What who gathers says to the participants, and to the rest of the committee. Nobody has to believe any of it. */
export type Message =
  /** Who takes part. */
  | { readonly kind: 'directory'; readonly keys: readonly Keys[] }
  /** Whose shares have come; for each of them, what is sealed to the peer that is spoken to. */
  | {
      readonly kind: 'delivery'
      readonly directory: Uint8Array
      readonly dealers: Uint8Array
      readonly sealed: Uint8Array
      readonly commitments: Uint8Array
    }
  /** Whose masked contributions have come. */
  | {
      readonly kind: 'survivors'
      readonly directory: Uint8Array
      readonly dealers: Uint8Array
      readonly survivors: Uint8Array
    }
  /** That enough have agreed. */
  | { readonly kind: 'consents'; readonly consents: readonly Consent[] }

const digestField = bytesField(digestBytes)
const setField = bytesField(peerSetBytes(maxPeers))
const place = { run: cidField, round: roundField, attempt: attemptField }

/** A participant's statement, on its way to the committee. */
export const sayRequest = z.strictObject({
  ...place,
  kind: z.enum(['keys', 'shares', 'input', 'consent', 'reveal']),
  document: bytesField(maxStatementBytes.shares),
})

/** As it goes over the wire: keys and consents are signed documents, opened by `messageFromWire`. */
export const tellRequest = z.discriminatedUnion('kind', [
  z.strictObject({ ...place, kind: z.literal('directory'), keys: z.array(documentField).max(maxPeers) }),
  z.strictObject({
    ...place,
    kind: z.literal('delivery'),
    directory: digestField,
    dealers: setField,
    sealed: bytesField(maxPeers * sealedBytes),
    commitments: bytesField(maxPeers * 2 * commitmentBytes),
  }),
  z.strictObject({
    ...place,
    kind: z.literal('survivors'),
    directory: digestField,
    dealers: setField,
    survivors: setField,
  }),
  z.strictObject({ ...place, kind: z.literal('consents'), consents: z.array(documentField).max(maxPeers) }),
])
export type SayRequest = z.infer<typeof sayRequest>
export type TellRequest = z.infer<typeof tellRequest>
type WireMessage = TellRequest extends infer R ? (R extends unknown ? Omit<R, keyof typeof place> : never) : never

export const maxSayBytes = maxStatementBytes.shares + 1024
/** 1,024 statements of 1 KiB. */
export const maxTellBytes = maxPeers * 1024 + 64 * 1024

export function messageToWire(message: Message): WireMessage {
  switch (message.kind) {
    case 'directory':
      return { kind: 'directory', keys: message.keys.map((one) => one.document) }
    case 'consents':
      return { kind: 'consents', consents: message.consents.map((one) => one.document) }
    case 'delivery':
    case 'survivors':
      return message
  }
}

/** @throws RejectedError as `openStatement` */
export function messageFromWire(message: WireMessage): Message {
  switch (message.kind) {
    case 'directory':
      return { kind: 'directory', keys: message.keys.map((document) => openStatement('keys', document)) }
    case 'consents':
      return { kind: 'consents', consents: message.consents.map((document) => openStatement('consent', document)) }
    case 'delivery':
    case 'survivors':
      return message
  }
}

/** @throws RejectedError as `openStatement` */
export function statementFromWire(request: Pick<SayRequest, 'kind' | 'document'>): Statement {
  return openStatement(request.kind, request.document)
}

/** What the dealers have for one peer, in the order of their places. */
export function deliveryTo(
  to: number,
  directory: Uint8Array,
  dealers: Uint8Array,
  shares: ReadonlyMap<number, Shares>,
): Extract<Message, { kind: 'delivery' }> {
  const dealt = placesOf(dealers).flatMap((dealer) => shares.get(dealer) ?? [])
  return {
    kind: 'delivery',
    directory,
    dealers,
    sealed: Buffer.concat(dealt.map((one) => one.sealed.subarray(to * sealedBytes, (to + 1) * sealedBytes))),
    commitments: Buffer.concat(dealt.map((one) => commitmentsFor(one, to))),
  }
}

export function commitmentsFor(shares: Shares, to: number): Uint8Array {
  return shares.commitments.subarray(to * 2 * commitmentBytes, (to + 1) * 2 * commitmentBytes)
}

/** What a participant signs of the commitments that it was shown. */
export function commitmentsDigest(commitments: Uint8Array): Uint8Array {
  return blake3Of(commitments)
}
