import { availableParallelism } from 'node:os'
import { type Command, InvalidArgumentError, Option } from 'commander'
import {
  type FaultKind,
  faultKinds,
  type Outcome,
  type SeedsResult,
  scenarioOf,
  simulate,
  simulateSeeds,
} from '../federation/index.ts'
import { exitCodes } from '../lib/index.ts'
import { createTerminal, type Terminal } from './terminal.ts'

/** Failing seeds that are told; all are counted. */
const shownFailures = 10
/** Redrawing costs more than a small seed. */
const drawMs = 100

interface Options {
  readonly peers: number
  readonly seeds: number
  readonly rounds: number
  readonly faults: FaultKind
  readonly seed?: number
  readonly workers: number
  readonly trace?: boolean
  readonly json?: boolean
}

export function registerSim(program: Command): void {
  const sim = program
    .command('sim')
    .description('simulated meshes: what always holds, tried against all that goes wrong')
  sim
    .command('rounds')
    .description('federated rounds among simulated peers, in virtual time, with faults from a seed')
    .option('--peers <n>', 'peers on the first roster', count(1, 1024), 100)
    .option('--seeds <n>', 'so many seeds, from 1', count(1, 1_000_000), 100)
    .option('--rounds <n>', 'rounds of each run', count(1, 1_000), 5)
    .addOption(new Option('--faults <kind>', 'what goes wrong').choices(faultKinds).default('all'))
    .option('--seed <n>', 'this seed alone: it replays exactly', count(0, 0xffff_ffff))
    .option('--workers <n>', 'threads', count(1, 256), availableParallelism())
    .option('--trace', 'tell what happened; with one seed')
    .option('--json', 'print results as JSON')
    .addHelpText(
      'after',
      `
The peers run the same round machine and the same judging rules as real ones; signatures are modelled. After each event
it is checked that no round and attempt has two certificates, that every result follows from its updates, that no
accepted update is lost, that no honest peer is accused, and at the end that all have the same chain. A run that
does not end in time after the last fault is stalled. Exit code 1 on a violation or a stalled seed.`,
    )
    .action(async (options: Options) => {
      const terminal = createTerminal({ json: options.json === true })
      const failed =
        options.seed === undefined && !options.trace ? await many(terminal, options) : one(terminal, options)
      if (failed) process.exitCode = exitCodes.failed
    })
}

/** Returns whether something failed. */
async function many(terminal: Terminal, options: Options): Promise<boolean> {
  const { peers, rounds, faults, workers } = options
  const seeds = Array.from({ length: options.seeds }, (_, i) => i + 1)
  let done = 0
  let failing = 0
  let drawnMs = 0
  const onOutcome = (outcome: Outcome): void => {
    done++
    if (isFailure(outcome)) failing++
    const nowMs = performance.now()
    if (nowMs - drawnMs < drawMs) return
    drawnMs = nowMs
    const bad = failing === 0 ? '' : terminal.style.red(`  ${failing} failed`)
    terminal.draw([`${bar(done / seeds.length)}  ${done} of ${seeds.length} seeds${bad}`])
  }
  const result = await simulateSeeds({ kind: faults, peers, rounds, seeds, workers, onOutcome })
  terminal.draw([])
  const replays = result.failed.slice(0, shownFailures).map(({ seed }) => replay(options, seed))
  terminal.result({ peers, rounds, faults, ...result, replays }, () => report(terminal, options, result))
  return result.failed.length > 0
}

function report({ style }: Terminal, options: Options, result: SeedsResult): string {
  const { seeds, roundsFinal, violations, stalledSeeds, laterAttempts, passedOver, undone } = result
  const lines = [
    `${seeds} seeds of ${options.peers} peers and ${options.rounds} rounds, faults: ${options.faults}`,
    `${roundsFinal} rounds final, ${passedOver} times a leader was passed over, ${laterAttempts} seeds with a later attempt, ${undone} rounds undone`,
    `${result.events} events in ${result.seconds} s (${result.eventsPerSecond} a second), ${result.virtualSeconds} virtual seconds`,
    violations + stalledSeeds === 0
      ? style.green('nothing that must hold was broken, and no run stalled')
      : style.red(`${violations} violations, ${stalledSeeds} stalled seeds`),
  ]
  for (const { seed, what } of result.failed.slice(0, shownFailures)) {
    lines.push(`seed ${seed}: ${what}`, `  ${replay(options, seed)}`)
  }
  return lines.join('\n')
}

function one(terminal: Terminal, options: Options): boolean {
  const { peers, rounds, faults, seed = 1, trace = false } = options
  const scenario = scenarioOf({ kind: faults, seed, peers, rounds })
  const { story, ...outcome } = simulate(scenario, { trace })
  if (trace && !terminal.json) for (const line of story) process.stdout.write(`${line}\n`)
  const { violations, stalled, roundsFinal, events, virtualMs } = outcome
  terminal.result({ scenario, ...outcome, ...(trace ? { story } : {}) }, () =>
    [
      `seed ${seed}: ${roundsFinal} rounds final, ${events} events, ${virtualMs / 1000} virtual seconds`,
      ...(stalled ? [terminal.style.red('the run stalls')] : []),
      ...violations.map((what) => terminal.style.red(what)),
    ].join('\n'),
  )
  return isFailure(outcome)
}

function isFailure(outcome: Pick<Outcome, 'stalled' | 'violations'>): boolean {
  return outcome.stalled || outcome.violations.length > 0
}

/** The command that shows exactly this. */
function replay({ peers, rounds, faults }: Options, seed: number): string {
  return `owm sim rounds --peers ${peers} --rounds ${rounds} --faults ${faults} --seed ${seed} --trace`
}

function bar(share: number): string {
  const width = 30
  const full = Math.round(share * width)
  return `${'█'.repeat(full)}${'░'.repeat(width - full)}`
}

function count(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
    }
    return value
  }
}
