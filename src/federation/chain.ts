import { OwmError, RejectedError } from '../lib/index.ts'
import {
  type Certificate,
  checkQuorum,
  claimOf,
  electionOf,
  firstHead,
  type Head,
  headOf,
  leaderOf,
  openCertificate,
  type Value,
  verifyCertificate,
} from './certificate.ts'
import type { RoundView } from './index.ts'
import type { Journal } from './journal.ts'
import { stands } from './preference.ts'
import type { Run } from './specification.ts'
import type { Evaluation } from './statements.ts'

/** What this peer keeps in memory of a certified round; the certificate itself is in the journal. */
type Link = Omit<RoundView, keyof Measured>

/** What was measured of a checkpoint, as a view has it. */
type Measured = Pick<RoundView, 'heldOutLoss' | 'heldOutAccuracy'>

/** Evaluations that came before their certificate. */
const maxEarlyEvaluations = 16
const maxEarlyRounds = 4

/** The certified rounds of a run, each verified against the one before. */
export class Chain {
  readonly #run: Run
  readonly #journal: Journal
  readonly #links: Link[] = []
  /** By checkpoint; the first one that came counts. */
  readonly #evaluations = new Map<string, Evaluation>()
  #head: Head
  #value: Value | null = null
  #damaged: { readonly round: number; readonly code: string } | null = null

  constructor(run: Run, journal: Journal) {
    this.#run = run
    this.#journal = journal
    this.#head = firstHead(run)
    try {
      for (let more = true; more; ) {
        const stored = journal.certificates(run.id, this.#head.round, 64)
        for (const { bytes, certifiedMs, seconds } of stored) this.#append(bytes, certifiedMs, seconds)
        more = stored.length > 0
      }
    } catch (error) {
      if (!(error instanceof RejectedError)) throw error
      // Damaged on the disk. This one and those after it are fetched again, each in place of what is there.
      this.#damaged = { round: this.#head.round + 1, code: error.code }
    }
    for (const evaluation of journal.evaluations(run.id)) this.#evaluations.set(evaluation.checkpoint, evaluation)
  }

  /** Where what was stored broke off, if it did. */
  get damaged(): { readonly round: number; readonly code: string } | null {
    return this.#damaged
  }
  get head(): Head {
    return this.#head
  }
  /** The newest certified value; null before the first. */
  get value(): Value | null {
    return this.#value
  }
  get finished(): boolean {
    return this.#head.round >= this.#run.specification.rounds
  }

  /**
   * Takes the next certificate and writes it down.
   *
   * @throws RejectedError as `verifyCertificate`
   */
  add(bytes: Uint8Array, certifiedMs: number, startedMs: number): { certificate: Certificate; view: RoundView } {
    const seconds = Math.max(0, certifiedMs - startedMs) / 1000
    const certificate = this.#append(bytes, certifiedMs, seconds, () =>
      this.#journal.addCertificate(this.#run.id, { round: this.#head.round + 1, bytes, certifiedMs, seconds }),
    )
    const early = this.#evaluations.get(certificate.value.checkpoint)
    if (early !== undefined) this.#journal.addEvaluation(early)
    const link = this.#links.at(-1) as Link
    return { certificate, view: { ...link, ...this.measured(link.checkpoint) } }
  }

  /**
   * Puts another certificate in the place of the one of its round that is here, if it is the one that stands; the rounds
   * after that are undone. Null when what is here stands.
   *
   * @throws RejectedError as `verifyCertificate`
   */
  switchTo(bytes: Uint8Array, certifiedMs: number): { undone: RoundView[]; view: RoundView } | null {
    const claim = claimOf(bytes)
    const { round, previous } = claim
    const here = this.#links[round - 1]
    if (here === undefined || here.certificate === claim.id) return null
    // It hangs on a round that is other here: where the chains part is to be settled first.
    if (this.idAt(round - 1) !== previous) return null
    if (stands({ round, attempt: here.attempt, previous, id: here.certificate }, claim) !== claim) return null
    const head = this.#headAt(round - 1)
    checkQuorum(this.#run, head, bytes)
    verifyCertificate(this.#run, head, bytes)
    this.#journal.switchTo(this.#run.id, { round, bytes, certifiedMs, seconds: here.seconds })
    const undone = this.rounds().slice(round - 1)
    this.#links.length = round - 1
    for (const [checkpoint, evaluation] of this.#evaluations) {
      if (evaluation.round >= round) this.#evaluations.delete(checkpoint)
    }
    this.#head = head
    this.#append(bytes, certifiedMs, here.seconds)
    return { undone, view: { ...(this.#links.at(-1) as Link), heldOutLoss: null, heldOutAccuracy: null } }
  }

  /** Id of the round's certified value; of the run, before the first. */
  idAt(round: number): string | undefined {
    return round === 0 ? this.#run.id : this.#links[round - 1]?.certificate
  }

  #headAt(round: number): Head {
    if (round === 0) return firstHead(this.#run)
    const stored = this.#journal.certificates(this.#run.id, round - 1, 1)[0]
    if (stored?.round !== round) throw new OwmError('not_found', `The certificate of round ${round} is not here.`)
    return headOf(openCertificate(stored.bytes).value)
  }

  /** Keeps the first evaluation of a checkpoint. Returns whether this was it. */
  addEvaluation(evaluation: Evaluation): boolean {
    const { round, checkpoint } = evaluation
    if (this.#evaluations.has(checkpoint)) return false
    if (round <= this.#head.round && this.checkpointOf(round) !== checkpoint) return false
    const early = [...this.#evaluations.values()].filter((other) => other.round > this.#head.round)
    // One for a round far ahead would keep its place for ever.
    if (round > this.#head.round + maxEarlyRounds || (round > this.#head.round && early.length >= maxEarlyEvaluations))
      return false
    this.#evaluations.set(checkpoint, evaluation)
    // One that came early is written down with its certificate.
    if (round <= this.#head.round) this.#journal.addEvaluation(evaluation)
    return true
  }

  evaluations(after: number): Evaluation[] {
    return [...this.#evaluations.values()].filter((evaluation) => evaluation.round >= after)
  }
  measured(checkpoint: string): Measured {
    const evaluation = this.#evaluations.get(checkpoint)
    return evaluation === undefined ? { heldOutLoss: null, heldOutAccuracy: null } : measuredIn(evaluation)
  }
  /** Round 0 is the initial weights. */
  checkpointOf(round: number): string | undefined {
    return round === 0 ? this.#run.specification.initial.toString() : this.#links[round - 1]?.checkpoint
  }
  rounds(): RoundView[] {
    return this.#links.map((link) => ({ ...link, ...this.measured(link.checkpoint) }))
  }
  last(): Link | undefined {
    return this.#links.at(-1)
  }

  #append(bytes: Uint8Array, certifiedMs: number, seconds: number, write: () => void = () => undefined): Certificate {
    const certificate = verifyCertificate(this.#run, this.#head, bytes)
    const { value, view, votes } = certificate
    write()
    const { committee } = electionOf(this.#run, this.#head, value.attempt)
    this.#links.push({
      round: value.round,
      attempt: value.attempt,
      leader: leaderOf(committee, view),
      committee,
      trainers: value.updates.map((notice) => notice.trainer),
      updates: value.updates.map((notice) => notice.update),
      updateBytes: value.updates.reduce((sum, notice) => sum + notice.bytes, 0),
      samples: value.updates.reduce((sum, notice) => sum + notice.samples, 0),
      signatures: votes.length,
      checkpoint: value.checkpoint,
      certificate: value.id,
      certifiedMs,
      seconds,
    })
    this.#head = headOf(value)
    this.#value = value
    for (const [checkpoint, { round }] of this.#evaluations) {
      if (round === value.round && checkpoint !== value.checkpoint) this.#evaluations.delete(checkpoint)
    }
    return certificate
  }
}

export function measuredIn({ microLoss, microAccuracy }: Evaluation): {
  heldOutLoss: number
  heldOutAccuracy: number | null
} {
  return { heldOutLoss: microLoss / 1e6, heldOutAccuracy: microAccuracy === null ? null : microAccuracy / 1e6 }
}
