import type { RoundView, RunSpecification, RunView } from '../federation/index.ts'
import { formatBytes } from '../lib/index.ts'
import { type Style, short, sparkline, table } from './terminal.ts'

/** What is shown of a run beside its table of rounds. */
export interface ShowOptions {
  /** The newest rounds that have a row; all when absent. */
  readonly rounds?: number
  /** Whole CIDs of certificates and checkpoints. */
  readonly lineage?: boolean
}

/** One line each. */
export function listRuns(runs: readonly RunView[], self: string): string {
  if (runs.length === 0) return 'no runs yet; create one with: owm run create'
  return table([
    ['name', 'state', 'round', 'trainers', 'loss', 'owner', 'run'],
    ...runs.map((run) => [
      run.name,
      stateOf(run),
      `${certified(run)} of ${run.totalRounds}`,
      String(run.roster.length),
      newest(run)?.toFixed(3) ?? '',
      run.owner === self ? 'this peer' : short(run.owner),
      run.id,
    ]),
  ])
}

/** `train status`: each run with its rounds. */
export function describeRuns(runs: readonly RunView[]): string {
  return runs.map((run) => `${headline(run)}\n${roundTable(run, run.rounds)}`).join('\n\n')
}

/** A run as `owm run show` has it. */
export function showRun(run: RunView, self: string, style: Style, options: ShowOptions = {}): string[] {
  const shown = options.rounds === undefined ? run.rounds : run.rounds.slice(-Math.max(1, options.rounds))
  const hidden = run.rounds.length - shown.length
  return [
    style.bold(headline(run)),
    ...facts(run, self).map(([name, value]) => `${style.dim(name.padEnd(10))} ${value}`),
    '',
    ...(run.rounds.length === 0 ? ['no round is certified yet'] : roundTable(run, shown).split('\n')),
    ...(hidden > 0 ? [style.dim(`and ${hidden} earlier ones`)] : []),
    ...troubles(run, shown).map((line) => style.yellow(line)),
    ...(options.lineage === true ? ['', ...lineage(run)] : []),
  ]
}

function headline(run: RunView): string {
  const curve = [run.initialLoss, ...run.rounds.map((round) => round.heldOutLoss)]
  const measured = curve.filter((bits) => bits !== null)
  const at = `round ${Math.min(run.round, run.totalRounds)} of ${run.totalRounds}`
  return `${run.name}  ${stateOf(run)}, ${at}  ${sparkline(measured)}  (run ${short(run.id)}, ${run.roster.length} ${run.roster.length === 1 ? 'peer' : 'peers'})`
}

/** `paused`; `training, a pause follows round 4`. */
export function stateOf({ status, control }: RunView): string {
  if (control === null || status === 'paused' || status === 'finished' || status === 'cancelled') return status
  if (control.action === 'pause') return `${status}, a pause follows round ${control.last}`
  return control.action === 'finish' ? `${status}, round ${control.last} is the last` : status
}

function facts(run: RunView, self: string): [string, string][] {
  const { specification: plan } = run
  const name = (peer: string): string => (peer === self ? `${short(peer)} (this peer)` : short(peer))
  const committee = run.committee.map((peer) => (peer === run.leader ? `${name(peer)} leads` : name(peer)))
  const limits = [
    plan['localEpochs'] !== undefined && `${plan['localEpochs']} epochs`,
    plan['localSteps'] !== undefined && `${plan['localSteps']} steps`,
    `${Number(plan['localMs']) / 1000} s`,
  ]
  const local = `${limits.filter((limit) => limit !== false).join(' or ')} a round`
  const rules = [
    ...planWords(plan as Partial<RunSpecification>),
    `at most ${plan['clipNorm']} long`,
    `${plan['minimumTrainers']} trainers at least`,
    `committee of ${plan['committeeSize']} (${plan['faults']})`,
  ]
  return [
    ['run', run.id],
    ['owner', run.owner === self ? `${run.owner} (this peer)` : run.owner],
    ['model', `${run.parameters.toLocaleString('en-US')} weights, ${local}`],
    ['rules', rules.join(', ')],
    ['phase', run.phase],
    ['committee', committee.join(', ') || 'none yet'],
    ['roster', run.roster.map(name).join(', ')],
    ...traffic(run),
  ]
}

function planWords({ aggregation, compression, outer }: Partial<RunSpecification>): string[] {
  if (aggregation === undefined || compression === undefined || outer === undefined) return []
  const { updates } = compression
  const codec =
    updates.kind === 'quantise'
      ? `${updates.bits} bits a weight`
      : `${updates.values.bits} bits for the largest ${(100 * updates.share).toPrecision(2)} % of the weights`
  return [codec, `${aggregation.rule.kind} by ${outer.kind}`]
}

function traffic(run: RunView): [string, string][] {
  const under = run.observed.at(-1)
  if (under === undefined || under.sentBytes + under.receivedBytes === 0) return []
  const words = `${formatBytes(under.sentBytes)} sent, ${formatBytes(under.receivedBytes)} received by this peer`
  return [['traffic', `round ${under.round}: ${words}`]]
}

function roundTable(run: RunView, rounds: readonly RoundView[]): string {
  const seen = new Map(run.observed.map((each) => [each.round, each]))
  const accuracy = rounds.some((round) => round.heldOutAccuracy !== null) ? ['right'] : []
  return table([
    [
      'round',
      'leader',
      'signed',
      'updates',
      'samples',
      'bytes',
      'up',
      'down',
      'seconds',
      run.unit,
      ...accuracy,
      'checkpoint',
    ],
    ...rounds.map((round) => [
      round.attempt === 0 ? String(round.round) : `${round.round}.${round.attempt}`,
      short(round.leader),
      `${round.signatures}/${round.committee.length}`,
      String(round.trainers.length),
      String(round.samples),
      formatBytes(round.updateBytes),
      bytes(seen.get(round.round)?.sentBytes),
      bytes(seen.get(round.round)?.receivedBytes),
      round.seconds.toFixed(1),
      round.heldOutLoss?.toFixed(3) ?? '',
      ...accuracy.map(() => (round.heldOutAccuracy === null ? '' : `${(100 * round.heldOutAccuracy).toFixed(2)} %`)),
      short(round.checkpoint),
    ]),
  ])
}

/** What did not go as it should, in the rounds shown and the one under way. */
function troubles(run: RunView, shown: readonly RoundView[]): string[] {
  const from = shown[0]?.round ?? 0
  return run.observed
    .filter(({ round }) => round >= from)
    .flatMap(({ round, rejected, passedOver }) => [
      ...rejected.map(({ trainer, code }) => `round ${round}: the update of ${short(trainer)} was refused: ${code}`),
      ...passedOver.map((leader) => `round ${round}: ${short(leader)} was passed over as the leader`),
    ])
}

function lineage(run: RunView): string[] {
  return [
    `initial weights  ${run.specification['initial']}`,
    ...run.rounds.map(
      (round) => `round ${round.round}  checkpoint ${round.checkpoint}  certificate ${round.certificate}`,
    ),
  ]
}

function bytes(count: number | undefined): string {
  return count === undefined || count === 0 ? '' : formatBytes(count)
}

function certified(run: RunView): number {
  return run.rounds.at(-1)?.round ?? 0
}

function newest(run: RunView): number | null {
  const measured = run.rounds.findLast((round) => round.heldOutLoss !== null)
  return measured?.heldOutLoss ?? run.initialLoss
}
