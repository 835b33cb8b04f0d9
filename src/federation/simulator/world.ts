import { base58btc } from 'multiformats/bases/base58'
import { cidOf, codecs, encode } from '../../lib/index.ts'
import {
  type Certificate,
  type Election,
  electionOf,
  firstHead,
  type Head,
  rosterAfter,
  type Value,
} from '../certificate.ts'
import { liarsOf } from '../committee.ts'
import type { Run } from '../specification.ts'
import type { Abandon, Join, Notice, Vote } from '../statements.ts'
import { Random } from './random.ts'
import { codeOf, type Rules, verifyCertificate } from './rules.ts'
import type { Scenario } from './scenario.ts'
import { Signatures } from './signatures.ts'
import type { Story } from './story.ts'
import { VirtualTime } from './virtual-time.ts'

export const noBytes = new Uint8Array()
/** What a run's specification says of a trainer's local work. Peers train for about so long. */
const localMs = 2_000

/** What an update is worth: liars make some that no honest member may take. */
export type UpdateFault = 'over_bound' | 'oversized' | null

/** What all simulated peers share: time, chance, the run, and what is a function of what was agreed. */
export class World {
  readonly scenario: Scenario
  readonly rules: Rules
  readonly story: Story
  readonly random: Random
  readonly time = new VirtualTime()
  readonly signatures = new Signatures()
  readonly run: Run
  /** On the first roster, then those who join late. */
  readonly names: readonly string[]
  readonly liars: ReadonlySet<string>
  readonly #indexes: ReadonlyMap<string, number>
  readonly #elections = new Map<string, Election>()
  readonly #rosters = new Map<string, readonly string[]>()
  readonly #results = new Map<string, string>()
  readonly #faults = new Map<string, UpdateFault>()
  readonly #judged = new WeakMap<Certificate, Map<string, string | null>>()
  /** The chance that a member dies between two effects; over when the bad weather is. */
  tornPermille: number
  /** Kills a peer, which comes back later. */
  kill: (name: string) => void = () => undefined
  /** What follows what: by the id of a certified value. */
  readonly heads = new Map<string, Head>()

  constructor(scenario: Scenario, rules: Rules, story: Story) {
    this.scenario = scenario
    this.rules = rules
    this.story = story
    this.random = new Random(scenario.seed ^ 0x5eed)
    this.tornPermille = scenario.tornPermille
    this.names = Array.from({ length: scenario.peers + scenario.lateJoiners }, (_, i) => nameOf(scenario.seed, i))
    this.#indexes = new Map(this.names.map((name, i) => [name, i]))
    this.liars = new Set(this.random.sample(this.names.slice(0, scenario.peers), scenario.liars))
    this.run = runOf(scenario, this.names.slice(0, scenario.peers))
    const first = firstHead(this.run)
    this.heads.set(first.id, first)
  }

  /** `p17`: what the story calls a peer. */
  short(name: string): string {
    return `p${this.#indexes.get(name) ?? '?'}`
  }
  indexOf(name: string): number {
    return this.#indexes.get(name) ?? 0
  }
  tell(line: () => string): void {
    this.story.tell(this.time.nowMs, line)
  }

  election(head: Head, attempt: number): Election {
    const key = `${head.id}/${attempt}`
    let election = this.#elections.get(key)
    if (election === undefined) {
      election = electionOf(this.run, head, attempt)
      this.#elections.set(key, election)
    }
    return election
  }

  /** One list for all who are at this head. */
  roster(head: Head): readonly string[] {
    let roster = this.#rosters.get(head.id)
    if (roster === undefined) {
      roster = head.roster.map((place) => place.peer)
      this.#rosters.set(head.id, roster)
    }
    return roster
  }

  /** Whether a liar may do as it likes in this committee: of more liars than the run must bear, the rest is honest. */
  mayLie(name: string, committee: readonly string[]): boolean {
    const liars = committee.filter((peer) => this.liars.has(peer))
    return liars.indexOf(name) < liarsOf(this.scenario.faults, committee.length)
  }

  addUpdate(update: string, fault: UpdateFault): void {
    this.#faults.set(update, fault)
  }
  /** What checking the bytes of an update finds. */
  faultOf(update: string): UpdateFault {
    return this.#faults.get(update) ?? null
  }

  /** What the updates make of a checkpoint; depends on the set alone. */
  resultOf(base: string, updates: readonly Notice[]): string {
    const key = [base, ...updates.map((notice) => `${notice.update}*${notice.samples}`).sort()].join()
    let result = this.#results.get(key)
    if (result === undefined) {
      result = cidOf(new TextEncoder().encode(key)).toString()
      this.#results.set(key, result)
    }
    return result
  }

  /** As `composeValue`, but nothing is encoded: the id is the hash of the same fields. */
  compose(
    head: Head,
    attempt: number,
    parts: { readonly updates: readonly Notice[]; readonly joins: readonly Join[]; readonly checkpoint?: string },
  ): Value {
    const updates = [...parts.updates].sort((a, b) => (a.trainer < b.trainer ? -1 : 1))
    const joins = [...parts.joins].sort((a, b) => (a.peer < b.peer ? -1 : 1))
    const checkpoint = parts.checkpoint ?? this.resultOf(head.checkpoint, updates)
    const roster = rosterAfter(this.run, head, updates, joins)
    const named = [
      attempt,
      head.id,
      checkpoint,
      ...updates.map((n) => `${n.update}@${n.attempt}`),
      ...joins.map((j) => j.peer),
    ]
    const value: Value = {
      id: cidOf(new TextEncoder().encode(named.join()), codecs.dagCbor).toString(),
      bytes: noBytes,
      run: this.run.id,
      round: head.round + 1,
      attempt,
      previous: head.id,
      updates,
      joins,
      checkpoint,
      roster,
    }
    if (!this.heads.has(value.id)) {
      this.heads.set(value.id, { round: value.round, id: value.id, checkpoint, roster })
    }
    return value
  }

  readonly verify = (author: string, statement: Notice | Vote | Join | Abandon): void =>
    this.rules.verify(this.signatures, author, statement)

  /** The whole judgement on a certificate; the code of what is wrong, or null. One certificate is judged once per head. */
  judge(head: Head, certificate: Certificate): string | null {
    let judged = this.#judged.get(certificate)
    if (judged === undefined) {
      judged = new Map()
      this.#judged.set(certificate, judged)
    }
    let code = judged.get(head.id)
    if (code === undefined) {
      code = codeOf(() => {
        verifyCertificate(this.verify, certificate)
        this.rules.judgeCertificate(this.run, head, certificate)
      })
      judged.set(head.id, code)
    }
    return code
  }

  headOf(value: Value): Head {
    return (
      this.heads.get(value.id) ?? {
        round: value.round,
        id: value.id,
        checkpoint: value.checkpoint,
        roster: value.roster,
      }
    )
  }
}

/** A peer id like any other, of a key that nobody has. */
function nameOf(seed: number, index: number): string {
  const random = new Random(seed * 65_537 + index)
  const key = Uint8Array.from({ length: 32 }, () => random.integer(0, 256))
  return base58btc.baseEncode(Uint8Array.from([0x00, 0x24, 0x08, 0x01, 0x12, 0x20, ...key]))
}

function runOf(scenario: Scenario, roster: readonly string[]): Run {
  const { seed, rounds, minimumTrainers, committeeSize, faults } = scenario
  const document = encode({ seed })
  const cid = cidOf(document)
  const initial = cidOf(encode({ initial: seed }))
  // The rules of a round read these fields of a specification and no others.
  const specification = { initial, rounds, roster, minimumTrainers, committeeSize, faults, localMs }
  return {
    id: cid.toString(),
    cid,
    owner: '',
    document,
    specification: specification as unknown as Run['specification'],
  }
}
