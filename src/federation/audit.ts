import type { CID } from 'multiformats/cid'
import { type ContentStore, valueCid } from '../content/index.ts'
import { errorCode, errorMessage, OwmError, RejectedError } from '../lib/index.ts'
import { silentLogger } from '../observability/index.ts'
import { type AuditFinding, type CertificateFindings, examineCertificate } from './audit-findings.ts'
import { firstHead, type Head, leaderOf, type Value } from './certificate.ts'
import { fetchTimeoutMs } from './proposal.ts'
import { Results } from './results.ts'
import { keptUpdatesRounds, keptWeightsRounds } from './retention.ts'
import { openRun } from './specification.ts'
import type { Notice } from './statements.ts'

export type { AuditFinding } from './audit-findings.ts'

/** Where an audit reads: a peer's journal and the mesh, or an exported folder. */
export interface AuditSource {
  /** The signed specification. */
  readonly document: Uint8Array
  /** Of the newest certificate. */
  readonly rounds: number
  /** Null when it is not there. */
  certificate(round: number): Promise<Uint8Array | null>
  /** A value by its CID, which need not be verified; null when it is not to be had. */
  value(
    cid: CID,
    options: {
      readonly maxBytes: number
      /** False where nobody is bound to have it any more: it is not worth asking around. */
      readonly ask: boolean
      readonly signal: AbortSignal
    },
  ): Promise<Uint8Array | null>
}

/** What became of one peer of the round's roster. */
export interface PeerAudit {
  readonly peer: string
  /** Its update is in the certificate and, where that was recomputed, in the result. */
  readonly counted: boolean
  /** Why not; `no_update` when the certificate has none of it. */
  readonly code: string | null
  readonly update: string | null
  readonly samples: number | null
  readonly steps: number | null
  readonly bytes: number | null
}

export interface RoundAudit {
  readonly kind: 'round'
  readonly round: number
  readonly attempt: number
  readonly certificate: string | null
  readonly checkpoint: string | null
  readonly leader: string | null
  readonly committee: readonly string[]
  readonly quorum: number
  /** Members whose signature under this result is good. */
  readonly voters: readonly string[]
  readonly peers: readonly PeerAudit[]
  readonly joined: readonly string[]
  readonly left: readonly string[]
  /** `skipped`: another round was asked for. */
  readonly recomputed: 'same' | 'different' | 'impossible' | 'skipped'
  readonly findings: readonly AuditFinding[]
}

export interface AuditReport {
  readonly kind: 'report'
  readonly run: string
  readonly name: string
  readonly owner: string
  /** Certified rounds that were read. */
  readonly rounds: number
  readonly recomputed: readonly number[]
  /** Rounds whose updates, or whose start, nobody is bound to keep any more: signatures and lineage alone were checked. */
  readonly expired: readonly number[]
  readonly findings: readonly AuditFinding[]
  /** `sound`: nothing wrong, and all recomputed that peers keep. `incomplete`: nothing wrong, but something was not found. */
  readonly verdict: 'sound' | 'incomplete' | 'wrong'
}

/**
 * Checks a run from its specification on: signatures, election, quorum, roster and lineage of each certificate, and,
 * from the updates themselves, each result that can still be had, bit for bit. Trusts nobody: neither the committee nor
 * whoever hands out the bytes.
 *
 * @param options.round recompute this one alone; the certificates before it are checked too
 * @throws RejectedError when the specification is not a signed run; OwmError `no_such_round`
 */
export async function* auditRun(
  source: AuditSource,
  options: { readonly round?: number | undefined; readonly signal: AbortSignal },
): AsyncIterable<RoundAudit | AuditReport> {
  const { round: only, signal } = options
  const run = openRun(source.document)
  const until = only ?? source.rounds
  if (until > source.rounds) {
    throw new OwmError('no_such_round', `Round ${until} is not certified here; the newest is ${source.rounds}.`)
  }
  let ask = true
  const results = new Results(
    run,
    contentOf(source, () => ask),
    silentLogger,
    () => null,
  )
  const found: AuditFinding[] = []
  const recomputed: number[] = []
  const expired: number[] = []
  let head: Head = firstHead(run)
  let before: Value | null = null
  let read = 0
  for (let round = 1; round <= until; round++) {
    signal.throwIfAborted()
    const bytes = await source.certificate(round)
    if (bytes === null) {
      const message = `The certificate of round ${round} is not there; what follows cannot be checked.`
      found.push({ severity: 'missing', code: 'missing_certificate', round, peer: null, message })
      break
    }
    read++
    const examined = examineCertificate(run, head, bytes)
    const { value } = examined
    // What peers are not bound to keep is no fault of anybody's, unless that very round was asked for.
    const gone = only === undefined && isExpired(round, source.rounds)
    ask = !gone
    const wanted = (only === undefined || only === round) && value !== null
    const outcome: Recomputed = wanted
      ? await recompute(results, { head, before, value, signal })
      : { recomputed: value === null ? 'impossible' : 'skipped', codes: new Map(), findings: [] }
    const findings = [...examined.findings, ...outcome.findings.map((f) => (gone ? asExpired(f) : f))]
    found.push(...findings)
    if (outcome.recomputed === 'same' || outcome.recomputed === 'different') recomputed.push(round)
    else if (gone && outcome.recomputed === 'impossible') expired.push(round)
    yield describe(head, examined, { ...outcome, findings })
    if (value === null || examined.next === null) break
    before = value
    head = examined.next
  }
  const wrong = found.some(({ severity }) => severity === 'wrong')
  const missing = found.some(({ severity }) => severity === 'missing')
  const { id, owner, specification } = run
  yield {
    kind: 'report',
    run: id,
    name: specification.name,
    owner,
    rounds: read,
    recomputed,
    expired,
    findings: found,
    verdict: wrong ? 'wrong' : missing ? 'incomplete' : 'sound',
  }
}

/** Updates that are fetched at the same time. */
const parallelFetches = 8

/** Peers keep a round's updates for a while, and what it started from for less long, if not from the beginning on. */
function isExpired(round: number, newest: number): boolean {
  return newest > keptUpdatesRounds && round - 1 <= newest - keptWeightsRounds
}

function asExpired(finding: AuditFinding): AuditFinding {
  return finding.severity === 'missing' ? { ...finding, severity: 'expired' } : finding
}

interface Recomputed {
  readonly recomputed: RoundAudit['recomputed']
  /** Why a trainer's update does not count. */
  readonly codes: ReadonlyMap<string, string>
  readonly findings: readonly AuditFinding[]
}

async function recompute(
  results: Results,
  place: { readonly head: Head; readonly before: Value | null; readonly value: Value; readonly signal: AbortSignal },
): Promise<Recomputed> {
  const { head, before, value, signal } = place
  const { round } = value
  const findings: AuditFinding[] = []
  const codes = new Map<string, string>()
  results.nextRound()
  let base: Float32Array
  try {
    base = await results.weights(before, [], signal)
    await results.carried(head, base, [], signal)
  } catch (error) {
    signal.throwIfAborted()
    const what = round === 1 ? 'The initial weights' : `The checkpoint of round ${round - 1}, from which it starts,`
    findings.push(finding(error, round, null, 'missing_checkpoint', what))
    return { recomputed: 'impossible', codes, findings }
  }
  const check = async (notice: Notice): Promise<void> => {
    try {
      await results.update(notice, base, [], signal)
    } catch (error) {
      signal.throwIfAborted()
      const fault = finding(error, round, notice.trainer, 'missing_update', `The update of ${notice.trainer}`)
      codes.set(notice.trainer, fault.code)
      findings.push(fault)
    }
  }
  for (let i = 0; i < value.updates.length; i += parallelFetches) {
    await Promise.all(value.updates.slice(i, i + parallelFetches).map(check))
  }
  if (findings.length > 0) return { recomputed: 'impossible', codes, findings }
  try {
    const checkpoint = await results.compute(head, base, value.updates, [], signal)
    for (const [peer, code] of results.leftOut(checkpoint)) codes.set(peer, code)
    if (checkpoint === value.checkpoint) return { recomputed: 'same', codes, findings }
    const message = `The updates give the checkpoint ${checkpoint}, and ${value.checkpoint} is certified.`
    findings.push({ severity: 'wrong', code: 'wrong_result', round, peer: null, message })
  } catch (error) {
    signal.throwIfAborted()
    findings.push(finding(error, round, null, 'missing_update', 'The result'))
  }
  return { recomputed: 'different', codes, findings }
}

function finding(error: unknown, round: number, peer: string | null, missing: string, what: string): AuditFinding {
  const code = errorCode(error)
  if (code === 'not_found') {
    return { severity: 'missing', code: missing, round, peer, message: `${what} is not to be had.` }
  }
  return { severity: 'wrong', code, round, peer, message: `${what} breaks a rule: ${errorMessage(error)}` }
}

function describe(head: Head, examined: CertificateFindings, outcome: Recomputed): RoundAudit {
  const { value, view, election, voters, next } = examined
  const roster = head.roster.map((place) => place.peer)
  const after = new Set(next?.roster.map((place) => place.peer))
  const peers = roster.map((peer): PeerAudit => {
    const notice = value?.updates.find((one) => one.trainer === peer)
    if (notice === undefined) {
      return { peer, counted: false, code: 'no_update', update: null, samples: null, steps: null, bytes: null }
    }
    const { update, samples, steps, bytes } = notice
    const code = outcome.codes.get(peer) ?? null
    return { peer, counted: code === null, code, update, samples, steps, bytes }
  })
  return {
    kind: 'round',
    round: head.round + 1,
    attempt: value?.attempt ?? 0,
    certificate: value?.id ?? null,
    checkpoint: value?.checkpoint ?? null,
    leader: value === null ? null : leaderOf(election.committee, view),
    committee: election.committee,
    quorum: election.quorum,
    voters,
    peers,
    joined: next === null ? [] : [...after].filter((peer) => !roster.includes(peer)),
    left: next === null ? [] : roster.filter((peer) => !after.has(peer)),
    recomputed: outcome.recomputed,
    findings: outcome.findings,
  }
}

/** What `Results` reads of: each value is checked against its name, and nothing is stored. */
function contentOf(source: AuditSource, ask: () => boolean): ContentStore {
  return {
    start: async () => undefined,
    stop: async () => undefined,
    put: async (bytes) => valueCid(bytes),
    cidOf: valueCid,
    get: async (cid, { maxBytes, signal }) => {
      const bounded = signal ?? AbortSignal.timeout(fetchTimeoutMs)
      const bytes = await source.value(cid, { maxBytes, ask: ask(), signal: bounded })
      if (bytes === null) throw new OwmError('not_found', `${cid} is not to be had.`)
      if (bytes.byteLength > maxBytes)
        throw new RejectedError('reject', 'oversized', `${cid} is over ${maxBytes} bytes.`)
      if (!valueCid(bytes).equals(cid))
        throw new RejectedError('reject', 'wrong_cid', `its bytes are not those of ${cid}`)
      return bytes
    },
    has: async () => false,
    remove: async () => undefined,
    stat: async () => ({ blocks: 0, bytes: 0 }),
  }
}
