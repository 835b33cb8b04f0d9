import type { Certificate, Value } from '../certificate.ts'
import type { Notice } from '../statements.ts'
import type { World } from './world.ts'

/** What a verdict on a peer says without blaming it: it came too late, from another chain, or met other updates. */
const blameless: ReadonlySet<string> = new Set([
  'late',
  'closed',
  'behind',
  'timeout',
  'not_found',
  'omits_update',
  'locked',
  'wrong_parent',
  'wrong_base',
  'wrong_round',
  'wrong_abandon',
])

/** What must hold at every instant, whatever goes wrong. */
export class Invariants {
  readonly #world: World
  readonly violations: string[] = []
  /** By the value before and the attempt. */
  readonly #certified = new Map<string, Value>()
  readonly #accepted = new Map<string, Notice[]>()

  constructor(world: World) {
    this.#world = world
  }

  get certifiedRounds(): number {
    return new Set([...this.#certified.values()].map((value) => value.round)).size
  }
  get acceptedUpdates(): number {
    return [...this.#accepted.values()].reduce((sum, notices) => sum + notices.length, 0)
  }
  /** The highest attempt that was certified. */
  get highestAttempt(): number {
    return Math.max(0, ...[...this.#certified.values()].map((value) => value.attempt))
  }

  /** An honest peer has taken this certificate. */
  onCertificate({ value }: Certificate): void {
    const key = `${value.previous}/${value.attempt}`
    const known = this.#certified.get(key)
    if (known === value) return
    if (known !== undefined) {
      if (known.id !== value.id) this.#break(`round ${value.round}, attempt ${value.attempt}, has two certified values`)
      return
    }
    this.#certified.set(key, value)
    this.#checkValue(value)
    for (const notice of this.#accepted.get(key) ?? []) this.#checkKept(notice, value)
  }

  /** An honest trainer has been told by a quorum that its update is stored. */
  onAccepted(notice: Notice, previous: string, attempt: number): void {
    if (this.#world.liars.has(notice.trainer)) return
    const key = `${previous}/${attempt}`
    const accepted = this.#accepted.get(key) ?? []
    accepted.push(notice)
    this.#accepted.set(key, accepted)
    const value = this.#certified.get(key)
    if (value !== undefined) this.#checkKept(notice, value)
  }

  /** An honest peer has found fault with another. */
  onVerdict(by: string, on: string, code: string): void {
    if (this.#world.liars.has(by) || this.#world.liars.has(on) || blameless.has(code)) return
    this.#break(`${this.#world.short(by)} accuses the honest ${this.#world.short(on)}: ${code}`)
  }

  /** After all has healed, everybody has the same chain. */
  onEnd(chains: readonly (readonly Certificate[])[]): void {
    const [first, ...others] = chains
    for (const chain of others) {
      const at = chain.findIndex((certificate, i) => certificate.value.id !== first?.[i]?.value.id)
      if (at < 0 && chain.length === first?.length) continue
      this.#break(`peers that have finished differ in round ${at + 1}`)
      return
    }
  }

  #checkValue(value: Value): void {
    const { heads, scenario } = this.#world
    const base = heads.get(value.previous)
    if (base === undefined) {
      this.#break(`round ${value.round} follows nothing`)
      return
    }
    if (value.checkpoint !== this.#world.resultOf(base.checkpoint, value.updates)) {
      this.#break(`the result of round ${value.round} does not follow from its updates`)
    }
    if (new Set(value.updates.map((notice) => notice.trainer)).size !== value.updates.length) {
      this.#break(`a trainer counts twice in round ${value.round}`)
    }
    if (value.updates.length < scenario.minimumTrainers) this.#break(`round ${value.round} has too few updates`)
    for (const notice of value.updates) {
      const { trainer, update } = notice
      if (notice.base !== base.checkpoint)
        this.#break(`${update} in round ${value.round} starts from another checkpoint`)
      if (this.#world.faultOf(update) !== null)
        this.#break(`${update} in round ${value.round} should have been refused`)
      if (!this.#world.signatures.isBy(trainer, notice)) this.#break(`${update} is not signed by its trainer`)
    }
  }

  #checkKept(notice: Notice, value: Value): void {
    if (value.updates.some((other) => other.update === notice.update)) return
    this.#break(
      `the accepted ${notice.update} is not in the certificate of round ${value.round}, attempt ${value.attempt}`,
    )
  }

  #break(what: string): void {
    this.violations.push(what)
    this.#world.tell(() => `VIOLATION: ${what}`)
  }
}
