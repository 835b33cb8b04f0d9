import type { Command } from 'commander'
import type { RunView } from '../federation/index.ts'
import { createRun } from './run.ts'
import { withStartOptions } from './run-options.ts'
import { describeRuns } from './run-view.ts'
import { connectToPeer, type SettingsOptions, withSettings } from './settings.ts'
import { createTerminal } from './terminal.ts'
import { registerTrainLocal } from './train-local/index.ts'

export function registerTrain(program: Command): void {
  const train = program.command('train').description('train alone, or start runs of the mesh and see how they go')
  registerTrainLocal(train)
  withSettings(
    withStartOptions(
      train
        .command('start')
        .description('start a federated run: the peers of the mesh that have text train it together'),
    ),
  )
    .addHelpText(
      'after',
      `
Every live peer of the mesh with text of its own ([training] data) is in the first round; others join as they come.
Each trains on its own text for --local-seconds, then a committee aggregates and certifies. Anybody can follow:

  owm train start --name owm-code --rounds 50 --local-seconds 30
  owm train status`,
    )
    .action(createRun)
  withSettings(train.command('status').description('the runs this peer knows, round by round')).action(
    async (options: SettingsOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const runs = await connectToPeer(options).call<RunView[]>('runs')
      terminal.result(runs, () =>
        runs.length === 0 ? 'no runs yet; start one with: owm train start' : describeRuns(runs),
      )
    },
  )
}
