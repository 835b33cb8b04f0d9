import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { RunView } from '../federation/index.ts'
import { OwmError } from '../lib/index.ts'
import { connectToPeer, type SettingsOptions, withSettings } from './settings.ts'
import { createTerminal, short, sparkline, table } from './terminal.ts'
import { registerTrainLocal } from './train-local/index.ts'

interface StartOptions extends SettingsOptions {
  readonly name: string
  readonly rounds: string
  readonly localSeconds: string
  readonly heldOut?: string
  readonly faults: string
}

export function registerTrain(program: Command): void {
  const train = program.command('train').description('train alone, or start runs of the mesh and see how they go')
  registerTrainLocal(train)
  withSettings(
    train.command('start').description('start a federated run: the peers of the mesh that have text train it together'),
  )
    .option('--name <name>', 'the name that the model has in the mesh', 'owm-code')
    .option('--rounds <count>', 'rounds to train', '20')
    .option('--local-seconds <seconds>', 'how long each peer trains in a round', '10')
    .option(
      '--held-out <file>',
      'public text on which every checkpoint is measured (default: made of the files kept from training here)',
    )
    .option(
      '--faults <model>',
      'crash: members may die; byzantine: up to a third may lie (needs at least 4 peers)',
      'crash',
    )
    .addHelpText(
      'after',
      `
Every live peer of the mesh with text of its own ([training] data) is in the first round; others join as they come.
Each trains on its own text for --local-seconds, then a committee aggregates and certifies. Anybody can follow:

  owm train start --name owm-code --rounds 50 --local-seconds 30
  owm train status`,
    )
    .action(async (options: StartOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const { run } = await connectToPeer(options).call<{ run: string }>('createRun', {
        name: options.name,
        rounds: positive(options.rounds, '--rounds'),
        localMs: Math.round(positive(options.localSeconds, '--local-seconds') * 1000),
        faults: options.faults,
        ...(options.heldOut === undefined ? {} : { heldOutFile: resolve(options.heldOut) }),
      })
      terminal.result({ run }, () => `started run ${run}; follow it with: owm train status`)
    })
  withSettings(train.command('status').description('the runs this peer knows, round by round')).action(
    async (options: SettingsOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const runs = await connectToPeer(options).call<RunView[]>('runs')
      terminal.result(runs, () =>
        runs.length === 0 ? 'no runs yet; start one with: owm train start' : runs.map(describe).join('\n\n'),
      )
    },
  )
}

function describe(run: RunView): string {
  const measured = run.rounds.flatMap((round) => (round.heldOutBitsPerByte === null ? [] : [round.heldOutBitsPerByte]))
  const curve = [...(run.initialBitsPerByte === null ? [] : [run.initialBitsPerByte]), ...measured]
  const head = `${run.name}  ${run.status}, round ${Math.min(run.round, run.totalRounds)} of ${run.totalRounds}  ${sparkline(curve)}  (run ${short(run.id)}, ${run.roster.length} peers)`
  const rows = run.rounds.map((round) => [
    String(round.round),
    short(round.leader),
    `${round.signatures}/${round.committee.length}`,
    String(round.trainers.length),
    round.seconds.toFixed(1),
    round.heldOutBitsPerByte?.toFixed(3) ?? '',
    short(round.checkpoint),
  ])
  return `${head}\n${table([['round', 'leader', 'signed', 'updates', 'seconds', 'bits/byte', 'checkpoint'], ...rows])}`
}

function positive(text: string, option: string): number {
  const value = Number(text)
  if (!(value > 0 && Number.isFinite(value)))
    throw new OwmError('bad_usage', `${option} takes a number above zero, not ${text}.`)
  return value
}
