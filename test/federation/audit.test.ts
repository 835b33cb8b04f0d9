import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import {
  composeValue,
  electionOf,
  type Head,
  openCertificate,
  openValue,
  sealCertificate,
  type Value,
} from '../../src/federation/certificate.ts'
import { type AuditReport, auditRun, openExport, type RoundAudit } from '../../src/federation/index.ts'
import { signNotice, signVote } from '../../src/federation/statements.ts'
import type { Identity } from '../../src/identity/index.ts'
import { decode, encode, errorCode } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import { type MadeRun, makeCertifiedRun } from './made-run.ts'
import {
  certified,
  cleanUp,
  connectAll,
  type MeshPeer,
  specificationFor,
  startPeer,
  temporaryFolder,
  until,
} from './mesh.ts'

const test = suite('audit of runs')
test.after(cleanUp)

const made = await makeCertifiedRun(4)
const [first, second] = made.identities as [Identity, Identity]
const nameOf = (identity: Identity): string => identity.peerId.toString()
const certificateAt = (round: number): string => `certificates/${String(round).padStart(6, '0')}.cbor`

interface Audit {
  readonly rounds: readonly RoundAudit[]
  readonly report: AuditReport
  /** `code round peer`, of all that is not as it should be. */
  readonly found: readonly string[]
}

/** Audits the made run with some of its files changed (null: taken away), from a folder. */
async function auditWith(
  changes: Readonly<Record<string, Uint8Array | null>>,
  options: { readonly round?: number; readonly of?: MadeRun } = {},
): Promise<Audit> {
  const folder = temporaryFolder()
  for (const [path, bytes] of new Map([...(options.of ?? made).files, ...Object.entries(changes)])) {
    if (bytes === null) continue
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), bytes)
  }
  return collect(auditRun(await openExport(folder), { round: options.round, signal: AbortSignal.timeout(15_000) }))
}

async function collect(audit: AsyncIterable<RoundAudit | AuditReport>): Promise<Audit> {
  const rounds: RoundAudit[] = []
  for await (const part of audit) {
    if (part.kind === 'round') rounds.push(part)
    else {
      const found = part.findings.map(({ code, round, peer }) => `${code} ${round} ${peer ?? '-'}`)
      return { rounds, report: part, found }
    }
  }
  throw new Error('an audit without a report')
}

function changed(path: string, change: (bytes: Uint8Array) => void): Record<string, Uint8Array> {
  const bytes = (made.files.get(path) as Uint8Array).slice()
  change(bytes)
  return { [path]: bytes }
}

/** The certificate of a round with another value in it, signed by the committee: what a quorum of liars could make. */
function resealed(round: number, change: (parts: Value, head: Head) => Value): Uint8Array {
  const head = made.heads[round - 1] as Head
  const value = change(made.values[round - 1] as Value, head)
  const { committee } = electionOf(made.run, head, 0)
  const votes = made.identities
    .filter((identity) => committee.includes(nameOf(identity)))
    .map((identity) =>
      signVote(identity, { run: made.run.id, round, attempt: 0, view: 0, phase: 'commit', value: value.id }),
    )
  return sealCertificate(value, 0, votes).bytes
}

test('a sound run is recomputed from its updates, peer by peer', async () => {
  const { rounds, report, found } = await auditWith({})
  assert.equal(found, [])
  assert.is(report.verdict, 'sound')
  assert.is(report.run, made.run.id)
  assert.equal(report.recomputed, [1, 2, 3, 4])
  for (const round of rounds) {
    assert.is(round.recomputed, 'same')
    assert.is(round.voters.length, 3)
    assert.equal(
      round.peers.map(({ counted }) => counted),
      [true, true, true, true],
    )
    const mine = round.peers.find(({ peer }) => peer === nameOf(first))
    assert.is(mine?.update, made.updateOf(round.round, first))
    assert.is(mine?.samples, 10)
  }
})

test('one round alone is recomputed from the checkpoint before it, with the certificates up to it', async () => {
  const { rounds, report } = await auditWith({}, { round: 3 })
  assert.equal(
    rounds.map(({ recomputed }) => recomputed),
    ['skipped', 'skipped', 'same'],
  )
  assert.equal(report.recomputed, [3])
  assert.is(report.verdict, 'sound')
  assert.is(await auditWith({}, { round: 5 }).then(() => 'no error', errorCode), 'no_such_round')
})

test('a changed byte of an update is found, and whose it is', async () => {
  const path = `values/${made.updateOf(2, second)}`
  const { rounds, report, found } = await auditWith(changed(path, (bytes) => bytes.fill(bytes[40]! ^ 1, 40, 41)))
  assert.equal(found, [`wrong_cid 2 ${nameOf(second)}`])
  assert.is(report.verdict, 'wrong')
  const seen = rounds[1]?.peers.find(({ peer }) => peer === nameOf(second))
  assert.is(seen?.counted, false)
  assert.is(seen?.code, 'wrong_cid')
  assert.is(rounds[1]?.recomputed, 'impossible')
  assert.is(rounds[2]?.recomputed, 'same', 'the rounds after it start from its checkpoint, which is there')
})

test('a missing update is named, and is no proof of anything wrong', async () => {
  const { report, found } = await auditWith({ [`values/${made.updateOf(4, first)}`]: null })
  assert.equal(found, [`missing_update 4 ${nameOf(first)}`])
  assert.is(report.verdict, 'incomplete')
})

test('a changed sample count is found by the signature of the trainer', async () => {
  const notice = made.values[1]?.updates.find(({ trainer }) => trainer === nameOf(second))
  const { found, report } = await auditWith(
    changed(certificateAt(2), (bytes) => {
      const at = Buffer.from(bytes).indexOf(notice!.document)
      const samples = Buffer.from(bytes).indexOf(Buffer.from('samples'), at) + 'samples'.length
      bytes[samples] = bytes[samples]! + 1
    }),
  )
  assert.ok(found.includes(`invalid_signature 2 ${nameOf(second)}`), found.join('\n'))
  assert.ok(
    found.some((line) => line.startsWith('wrong_vote 2')),
    'what was signed is another result',
  )
  assert.is(report.verdict, 'wrong')
})

test('a committee that weighs a trainer as it likes has to forge its notice', async () => {
  const forged = resealed(2, (value, head) => {
    const updates = value.updates.map((notice) =>
      notice.trainer === nameOf(second) ? signNotice(first, { ...notice, samples: 9_999 }) : notice,
    )
    return composeValue(made.run, head, 0, { ...value, updates })
  })
  const { found } = await auditWith({ [certificateAt(2)]: forged })
  assert.ok(
    found.some((line) => line.startsWith('not_sorted 2')),
    found.join('\n'),
  )
})

test('a forged signature of a member is named, and the quorum is counted without it', async () => {
  const { votes } = openCertificate(made.files.get(certificateAt(3)) as Uint8Array)
  const { found } = await auditWith(
    changed(certificateAt(3), (bytes) => {
      const at = Buffer.from(bytes).indexOf(votes[0]!.document) + votes[0]!.document.length - 1
      bytes[at] = bytes[at]! ^ 1
    }),
  )
  assert.equal(found, [`invalid_signature 3 ${votes[0]?.voter}`])
})

test('signatures of too few, of strangers, and for other things are no certificate', async () => {
  const { value, votes } = openCertificate(made.files.get(certificateAt(1)) as Uint8Array)
  const few = await auditWith({ [certificateAt(1)]: sealCertificate(value, 0, votes.slice(0, 1)).bytes })
  assert.equal(few.found, ['no_quorum 1 -'])
  const outsider = made.identities.find((identity) => !votes.some(({ voter }) => voter === nameOf(identity)))
  const place = { run: made.run.id, round: 1, attempt: 0, view: 0, phase: 'commit', value: value.id } as const
  const strange = signVote(outsider!, place)
  const strangers = await auditWith({ [certificateAt(1)]: sealCertificate(value, 0, [...votes, strange]).bytes })
  assert.equal(strangers.found, [`not_in_committee 1 ${nameOf(outsider!)}`])
  const member = made.identities.find((identity) => votes.some(({ voter }) => voter === nameOf(identity)))
  const prepare = signVote(member!, { ...place, phase: 'prepare' })
  const rest = votes.filter(({ voter }) => voter !== nameOf(member!))
  const phases = await auditWith({ [certificateAt(1)]: sealCertificate(value, 0, [...rest, prepare]).bytes })
  assert.equal(phases.found, [`wrong_vote 1 ${nameOf(member!)}`])
})

test('a result that a whole committee has signed and that is not what the updates give is found', async () => {
  const other = made.values[0] as Value
  const forged = resealed(4, (value, head) =>
    composeValue(made.run, head, 0, { ...value, checkpoint: other.checkpoint }),
  )
  const { rounds, found } = await auditWith({ [certificateAt(4)]: forged })
  assert.equal(found, ['wrong_result 4 -'])
  assert.is(rounds[3]?.recomputed, 'different')
})

test('a roster that is not what the rule gives is found, and who should be on it', async () => {
  const forged = resealed(4, (value) => {
    const body = decode(value.bytes, z.looseObject({}), value.bytes.length)
    const roster = value.roster.filter(({ peer }) => peer !== nameOf(second))
    return openValue(encode({ ...body, roster }))
  })
  const { report, found } = await auditWith({ [certificateAt(4)]: forged })
  assert.ok(found.includes('wrong_roster 4 -'), found.join('\n'))
  assert.ok(report.findings.some(({ message }) => message.includes(`${nameOf(second)} should be on it`)))
})

test('a chain that was cut, and one whose certificate is of another run, are found', async () => {
  const cut = await auditWith({ [certificateAt(2)]: null })
  assert.equal(cut.found, ['missing_certificate 2 -'])
  assert.is(cut.report.verdict, 'incomplete')
  const summary = new TextEncoder().encode(JSON.stringify({ certifiedRounds: 4 }))
  const shortened = await auditWith({ [certificateAt(4)]: null, 'run.json': summary })
  assert.equal(shortened.found, ['missing_certificate 4 -'])
  const foreign = await makeCertifiedRun(1)
  const mixed = await auditWith({ [certificateAt(1)]: foreign.files.get(certificateAt(1)) as Uint8Array })
  assert.is(mixed.report.verdict, 'wrong')
  const rubbish = await auditWith({ [certificateAt(3)]: new Uint8Array([1, 2, 3]) })
  assert.ok(rubbish.found[0]?.endsWith('3 -'))
})

test('changed weights, a changed manifest and changed initial weights are found where a round starts from them', async () => {
  const initial = `values/${made.run.specification.initial}`
  const { found } = await auditWith(changed(initial, (bytes) => bytes.fill(1, 0, 4)))
  assert.equal(found, ['wrong_cid 1 -'])
  const manifest = `values/${made.values[1]?.checkpoint}`
  const started = await auditWith(
    changed(manifest, (bytes) => bytes.fill(bytes[20]! ^ 1, 20, 21)),
    { round: 3 },
  )
  assert.equal(started.found, ['wrong_cid 3 -'])
})

test('a specification that was changed is no run', async () => {
  const code = await auditWith(changed('specification.cbor', (bytes) => bytes.fill(bytes[200]! ^ 1, 200, 201))).then(
    () => 'no error',
    errorCode,
  )
  assert.is(code, 'invalid_signature')
  assert.is(await openExport(temporaryFolder()).then(() => 'no error', errorCode), 'not_an_export')
})

test('of a long run the rounds whose updates peers have deleted are said to be beyond checking', async () => {
  const long = await makeCertifiedRun(20)
  const changes: Record<string, null> = {}
  for (let round = 1; round <= 4; round++) {
    for (const identity of long.identities) changes[`values/${long.updateOf(round, identity)}`] = null
  }
  for (let round = 1; round <= 12; round++) changes[`values/${long.values[round - 1]?.checkpoint}`] = null
  const { report } = await auditWith(changes, { of: long })
  assert.is(report.verdict, 'sound')
  assert.equal(report.recomputed, [14, 15, 16, 17, 18, 19, 20])
  assert.equal(report.expired, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
  const asked = await auditWith(changes, { of: long, round: 3 })
  assert.is(asked.report.verdict, 'incomplete', 'who asks for that very round is not told that all is well')
})

test(
  'a peer that trained nothing audits from the mesh, and an export of it stands by itself',
  async () => {
    const peers: [MeshPeer, MeshPeer, MeshPeer] = [
      await startPeer(),
      await startPeer(),
      await startPeer({ trains: false }),
    ]
    const [owner, , watcher] = peers
    await connectAll(peers)
    const id = await owner.federation.createRun(await specificationFor(owner, peers.slice(0, 2), { rounds: 3 }))
    await until(() => certified(watcher) === 3)
    const signal = AbortSignal.timeout(15_000)
    const { report } = await collect(watcher.federation.audit(id, { signal }))
    assert.equal(report.recomputed, [1, 2, 3])
    assert.is(report.verdict, 'sound')
    const folder = temporaryFolder()
    let last: Uint8Array | undefined
    for await (const { path, bytes } of watcher.federation.exportRun(id, signal)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), bytes)
      if (path === certificateAt(3)) last = bytes
    }
    const offline = await collect(auditRun(await openExport(folder), { signal }))
    assert.equal(offline.report, report)
    assert.is(
      (await collect(owner.federation.audit(id, { certificate: last as Uint8Array, signal }))).report.verdict,
      'sound',
    )
    const changedOne = (last as Uint8Array).slice()
    changedOne[changedOne.length - 1]! ^= 1
    assert.is((await collect(owner.federation.audit(id, { certificate: changedOne, signal }))).report.verdict, 'wrong')
  },
  { timeoutMs: 40_000 },
)

test.run()
