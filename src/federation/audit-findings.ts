import { z } from 'zod'
import { peerIdOf } from '../identity/index.ts'
import { cidOf, codecs, decode, errorCode, errorMessage } from '../lib/index.ts'
import {
  checkValue,
  type Election,
  electionOf,
  type Head,
  headOf,
  maxCertificateBytes,
  maxValueBytes,
  openCertificate,
  type Value,
  verifyCertificate,
} from './certificate.ts'
import { cidField, roundField } from './fields.ts'
import { nextRoster } from './roster.ts'
import type { Run } from './specification.ts'
import { openJoin, openNotice, openVote } from './statements.ts'

/** One thing that is not as it should be, or that nobody can check any more. */
export interface AuditFinding {
  /** `wrong`: a rule is broken, or bytes have changed. `missing`: what should be there was not found. `expired`: peers keep it no longer. */
  readonly severity: 'wrong' | 'missing' | 'expired'
  /** That of the rule, as in protocols/rounds, or `missing_update`, `missing_checkpoint`, `missing_certificate`. */
  readonly code: string
  readonly round: number
  /** Whose doing or whose update it is, where it is anybody's. */
  readonly peer: string | null
  readonly message: string
}

/** What a certificate says and what is wrong with it. `value` is null when nothing can be read from it. */
export interface CertificateFindings {
  readonly value: Value | null
  readonly next: Head | null
  readonly view: number
  readonly election: Election
  /** Members whose commit vote is good. */
  readonly voters: readonly string[]
  readonly findings: readonly AuditFinding[]
}

const someBytes = z.instanceof(Uint8Array)
const looseCertificate = z.looseObject({ value: someBytes, votes: z.array(someBytes).max(1024) })
const looseValue = z.looseObject({
  run: cidField,
  round: roundField,
  updates: z.array(someBytes),
  joins: z.array(someBytes),
})
const looseSigned = z.looseObject({ author: someBytes })

/**
 * As `verifyCertificate`, but with all that is wrong and whose it is: each statement is opened by itself, so that one
 * forged vote or one changed notice is named.
 */
export function examineCertificate(run: Run, previous: Head, bytes: Uint8Array): CertificateFindings {
  const round = previous.round + 1
  const findings: AuditFinding[] = []
  const wrong = (code: string, message: string, peer: string | null = null): void =>
    void findings.push({ severity: 'wrong', code, round, peer, message })
  const first = electionOf(run, previous, 0)
  const nothing = { value: null, next: null, view: 0, election: first, voters: [], findings }
  let parts: z.infer<typeof looseCertificate>
  let body: z.infer<typeof looseValue>
  try {
    parts = decode(bytes, looseCertificate, maxCertificateBytes)
    body = decode(parts.value, looseValue, maxValueBytes)
  } catch (error) {
    wrong(errorCode(error), `The certificate cannot be read: ${errorMessage(error)}`)
    return nothing
  }
  const statements = [
    ...body.updates.map((document) => ({ document, open: openNotice, what: 'The notice' })),
    ...body.joins.map((document) => ({ document, open: openJoin, what: 'The wish to join' })),
    ...parts.votes.map((document) => ({ document, open: openVote, what: 'The vote' })),
  ]
  for (const { document, open, what } of statements) {
    try {
      open(document)
    } catch (error) {
      const peer = claimedAuthor(document)
      wrong(errorCode(error), `${what} of ${peer ?? 'somebody'} is not what was signed.`, peer)
    }
  }
  const votes = parts.votes.flatMap((document) => opened(openVote, document))
  let value: Value | null = null
  let view = 0
  try {
    ;({ value, view } = openCertificate(bytes))
  } catch (error) {
    if (findings.length === 0) wrong(errorCode(error), errorMessage(error))
  }
  const election = value === null ? first : electionOf(run, previous, value.attempt)
  const id = cidOf(parts.value, codecs.dagCbor).toString()
  const good = votes.filter((vote) => {
    const member = election.committee.includes(vote.voter)
    const fits = vote.run === run.id && vote.round === round && vote.phase === 'commit' && vote.value === id
    if (!member) wrong('not_in_committee', `${vote.voter} votes and is not in the committee.`, vote.voter)
    else if (!fits || (value !== null && vote.view !== view)) {
      wrong('wrong_vote', `The vote of ${vote.voter} is not for this result.`, vote.voter)
    }
    return member && fits
  })
  const voters = [...new Set(good.map((vote) => vote.voter))]
  if (voters.length < election.quorum) {
    wrong('no_quorum', `${voters.length} of the committee have signed this result, ${election.quorum} are needed.`)
  }
  if (value !== null) {
    try {
      checkValue(run, previous, value)
    } catch (error) {
      wrong(
        errorCode(error),
        errorCode(error) === 'wrong_roster' ? rosterWords(run, previous, value) : errorMessage(error),
      )
    }
    // Whatever rule is not named above.
    if (findings.length === 0) {
      try {
        verifyCertificate(run, previous, bytes)
      } catch (error) {
        wrong(errorCode(error), errorMessage(error))
      }
    }
  }
  return { value, next: value === null ? null : headOf(value), view, election, voters, findings }
}

function opened<T>(open: (document: Uint8Array) => T, document: Uint8Array): T[] {
  try {
    return [open(document)]
  } catch {
    return []
  }
}

/** The run that a certificate says to be of. @throws RejectedError as `decode` does */
export function runNamedBy(certificate: Uint8Array): string {
  const { value } = decode(certificate, looseCertificate, maxCertificateBytes)
  return decode(value, looseValue, maxValueBytes).run.toString()
}

/** The round that a certificate says to be of, whatever else is wrong with it. @throws RejectedError as `decode` does */
export function roundClaimedBy(certificate: Uint8Array): number {
  return decode(decode(certificate, looseCertificate, maxCertificateBytes).value, looseValue, maxValueBytes).round
}

/** Whom a statement names as its author, whether that is true or not. */
function claimedAuthor(document: Uint8Array): string | null {
  try {
    return peerIdOf(decode(document, looseSigned, document.byteLength).author).toString()
  } catch {
    return null
  }
}

function rosterWords(run: Run, previous: Head, value: Value): string {
  const trained = new Set(value.updates.map((notice) => notice.trainer))
  const joins = value.joins.map((join) => join.peer)
  const right = new Map(nextRoster(run.specification, previous.roster, trained, joins).map((p) => [p.peer, p.missed]))
  const given = new Map(value.roster.map((place) => [place.peer, place.missed]))
  const differences = [...new Set([...right.keys(), ...given.keys()])].flatMap((peer) => {
    if (!given.has(peer)) return [`${peer} should be on it`]
    if (!right.has(peer)) return [`${peer} should not be on it`]
    if (given.get(peer) === right.get(peer)) return []
    return [`${peer} has missed ${right.get(peer)} rounds, not ${given.get(peer)}`]
  })
  return `The next roster is not what the rule gives: ${differences.join('; ') || 'it is not in order'}.`
}
