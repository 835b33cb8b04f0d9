import type { Certificate } from '../certificate.ts'
import type { MemberRecord } from '../round-state.ts'
import type { Abandon, Notice } from '../statements.ts'

/** The journal and the content store of a peer: what is synced survives a crash, what is only written does not. */
export class SimDisk {
  /** As the journal, each write is durable when it returns. */
  chain: readonly Certificate[] = []
  record: { readonly round: number; readonly record: MemberRecord } | null = null
  readonly held = new Map<string, Notice>()
  own: Notice | null = null
  attempt: {
    readonly round: number
    readonly attempt: number
    givenUp: boolean
    readonly proof: readonly Abandon[]
  } | null = null
  readonly #synced = new Set<string>()
  readonly #written = new Set<string>()

  /** Bytes of an update, in the page cache for now. */
  write(update: string): void {
    this.#written.add(update)
  }
  sync(update: string): void {
    this.#written.delete(update)
    this.#synced.add(update)
  }
  has(update: string): boolean {
    return this.#synced.has(update) || this.#written.has(update)
  }

  /** Appends and forgets the round, as the journal does in one transaction. */
  append(certificate: Certificate): void {
    this.chain = [...this.chain, certificate]
    this.#forgetRound()
  }
  /** Puts the certificate in the place of the one of its round, and forgets what came after. */
  switchTo(certificate: Certificate): void {
    this.chain = [...this.chain.slice(0, certificate.value.round - 1), certificate]
    this.#forgetRound()
  }

  crash(): void {
    this.#written.clear()
  }

  #forgetRound(): void {
    this.record = null
    this.held.clear()
    this.own = null
    this.attempt = null
  }
}
