import { readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import {
  type AuditFinding,
  type AuditReport,
  auditRun,
  openExport,
  type RoundAudit,
  runNamedBy,
} from '../federation/index.ts'
import { errorCode, exitCodes, OwmError } from '../lib/index.ts'
import { integerBetween } from './numbers.ts'
import { findRun } from './run-find.ts'
import { connectToPeer, type SettingsOptions, withSettings } from './settings.ts'
import { createTerminal, short, type Terminal, table } from './terminal.ts'

interface VerifyOptions extends SettingsOptions {
  readonly round?: number
  readonly peers: boolean
}
/** A certificate may have so much. */
const maxCertificateBytes = 1024 * 1024

export function registerVerify(run: Command): void {
  withSettings(run.command('verify').description('check a run: every signature, and each round from its updates'))
    .argument('[run]', 'a run, a file with a certificate, or a folder made by owm run export')
    .option('--round <number>', 'recompute this round alone', integerBetween(1, 1_000_000))
    .option('--no-peers', 'do not tell what became of each peer')
    .addHelpText(
      'after',
      `
Of a run: what is not here is fetched from other peers, and checked. Of a folder: no peer has to run.
Peers delete the updates of a round after 16 more, and checkpoints after 8: of what is older, signatures, election,
quorum, rosters and lineage are checked, and the output says so. Ends with 0 when nothing is wrong or missing, else 1.

  owm run verify owm-code
  owm run verify owm-code --round 12
  owm run verify ./certificate.cbor
  owm run verify ./exported --json`,
    )
    .action(async (named: string | undefined, options: VerifyOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const stop = new AbortController()
      process.once('SIGINT', () => stop.abort(new OwmError('aborted', 'Stopped before the end.')))
      const rounds: RoundAudit[] = []
      for await (const part of await auditOf(named, options, stop.signal)) {
        if (part.kind === 'report') {
          terminal.result({ ...part, details: rounds }, () => reportWords(part))
          if (part.verdict !== 'sound') process.exitCode = exitCodes.failed
        } else {
          rounds.push(part)
          if (!terminal.json && part.recomputed !== 'skipped') print(part, options.peers, terminal)
          else if (!terminal.json && part.findings.length > 0) print(part, false, terminal)
        }
      }
    })
}

async function auditOf(
  named: string | undefined,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<AsyncIterable<RoundAudit | AuditReport>> {
  const { round } = options
  const kind = named === undefined ? null : await kindOf(named)
  if (named !== undefined && kind === 'folder') return auditRun(await openExport(resolve(named)), { round, signal })
  const control = connectToPeer(options)
  if (named !== undefined && kind === 'file') {
    const certificate = await readFile(named)
    const run = runNamedBy(certificate)
    return control.stream('auditRun', { run, certificate: certificate.toString('base64') }, { signal })
  }
  const { id } = await findRun(control, named)
  return control.stream('auditRun', { run: id, ...(round === undefined ? {} : { round }) }, { signal })
}

/** @throws OwmError `oversized` */
async function kindOf(named: string): Promise<'folder' | 'file' | null> {
  try {
    const found = await stat(named)
    if (found.isDirectory()) {
      // A folder that merely has a run's name.
      return (await stat(join(named, 'specification.cbor')).catch(() => null)) === null && !/[/.\\]/.test(named)
        ? null
        : 'folder'
    }
    if (found.size > maxCertificateBytes) {
      throw new OwmError('oversized', `${named} has ${found.size} bytes: that is no certificate.`)
    }
    return 'file'
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null
    throw error
  }
}

function print(round: RoundAudit, peers: boolean, { style }: Terminal): void {
  const verdict = {
    same: style.green('the updates give the certified result'),
    different: style.red('the updates do NOT give the certified result'),
    impossible: style.yellow('not recomputed'),
    skipped: 'not recomputed',
  }[round.recomputed]
  const signed = `${round.voters.length} of ${round.committee.length} signed, ${round.quorum} needed`
  const lines = [`round ${round.round}: ${verdict}; ${signed}`]
  if (peers) {
    const rows = round.peers.map(({ peer, counted, code, samples, steps, update }) => [
      '  ',
      short(peer),
      counted ? 'counted' : 'not counted',
      code === null ? '' : (reasons[code] ?? code),
      samples === null ? '' : `${samples} samples`,
      steps === null ? '' : `${steps} steps`,
      update === null ? '' : short(update),
    ])
    lines.push(table(rows))
    for (const peer of round.joined) lines.push(`  ${short(peer)} joins`)
    for (const peer of round.left) lines.push(`  ${short(peer)} leaves, after two rounds without it`)
  }
  for (const finding of round.findings) lines.push(`  ${mark(finding)} ${finding.message} (${finding.code})`)
  process.stdout.write(`${lines.join('\n')}\n`)
}

const reasons: Readonly<Record<string, string>> = {
  no_update: 'the certificate has no update of it',
  missing_update: 'its update is not to be had',
  wrong_cid: 'its bytes have changed',
  over_bound: 'longer than the run allows',
}

function mark({ severity }: AuditFinding): string {
  return { wrong: 'WRONG', missing: 'missing', expired: 'gone' }[severity]
}

function reportWords(report: AuditReport): string {
  const { name, run, rounds, recomputed, expired, findings, verdict } = report
  const gone =
    expired.length === 0
      ? []
      : [
          `Rounds ${ranges(expired)} cannot be recomputed any more: peers have deleted what they are made of. Their signatures,`,
          'elections, quorums, rosters and lineage are checked.',
        ]
  const wrong = findings.filter(({ severity }) => severity === 'wrong').length
  const missing = findings.filter(({ severity }) => severity === 'missing').length
  const end = {
    sound: 'Nothing is wrong.',
    incomplete: `Nothing is wrong as far as can be seen, but ${missing} things were not to be had.`,
    wrong: `${wrong} things are WRONG.`,
  }[verdict]
  return [
    `${name} (run ${run}): ${rounds} certificates checked, ${recomputed.length} rounds recomputed${recomputed.length === 0 ? '' : ` (${ranges(recomputed)})`}.`,
    ...gone,
    end,
  ].join('\n')
}

/** `[1, 2, 3, 7]` -> `1-3, 7`. */
function ranges(numbers: readonly number[]): string {
  const parts: [number, number][] = []
  for (const number of numbers) {
    const last = parts.at(-1)
    if (last !== undefined && last[1] === number - 1) last[1] = number
    else parts.push([number, number])
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ')
}
