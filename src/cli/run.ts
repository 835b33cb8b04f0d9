import type { Command } from 'commander'
import type { PeerStatus } from '../control/index.ts'
import type { ControlAction, RunView } from '../federation/index.ts'
import { registerExport } from './run-export.ts'
import { findRun } from './run-find.ts'
import { newRunRequest, withCreateOptions } from './run-options.ts'
import { registerVerify } from './run-verify.ts'
import { listRuns, showRun } from './run-view.ts'
import { changedWords, watchRun } from './run-watch.ts'
import { connectToPeer, type SettingsOptions, withSettings } from './settings.ts'
import { createTerminal } from './terminal.ts'

interface ShowOptions extends SettingsOptions {
  readonly watch: boolean
  readonly lineage: boolean
}

/** What the owner of a run can do with it, and how that is said. */
const actions: readonly { readonly action: ControlAction; readonly about: string }[] = [
  { action: 'pause', about: 'let the round under way end, and start no other; only by its owner' },
  { action: 'resume', about: 'go on with a paused run; only by its owner' },
  { action: 'finish', about: 'make the round under way the last one; only by its owner' },
  { action: 'cancel', about: 'stop at once: the round under way is not certified; only by its owner' },
]

export function registerRun(program: Command): void {
  const run = program.command('run').description('federated runs: make one, take part, watch, control and verify it')

  withSettings(
    withCreateOptions(run.command('create').description('make a run in the name of this peer, and start it')),
  )
    .addHelpText(
      'after',
      `
Every live peer of the mesh with text of its own ([training] data) is in the first round; others join as they come.

  owm run create --name owm-code --rounds 50 --local-seconds 30
  owm run create --faults byzantine --committee 7 --minimum-trainers 5
  owm run create --model layers=2 width=128 --optimizer learningRate=0.001
  owm run create --continue owm-code --rounds 100`,
    )
    .action((options: SettingsOptions & Record<string, unknown>) => createRun(options))

  withSettings(run.command('list').description('the runs that this peer knows')).action(
    async (options: SettingsOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const control = connectToPeer(options)
      const runs = await control.call<RunView[]>('runs')
      const { peer } = await control.call<PeerStatus>('status')
      terminal.result(runs, () => listRuns(runs, peer))
    },
  )

  withSettings(run.command('show').description('one run: its rounds, who took part, what was refused'))
    .argument('[run]', 'its id, the end of it, or its name; needless where there is but one')
    .option('--watch', 'stay, and show it as it goes', false)
    .option('--lineage', 'whole CIDs of all checkpoints and certificates', false)
    .action(async (named: string | undefined, options: ShowOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const control = connectToPeer(options)
      const { id } = await findRun(control, named)
      const { peer: self } = await control.call<PeerStatus>('status')
      if (options.watch) {
        const stop = new AbortController()
        process.once('SIGINT', () => stop.abort())
        await watchRun(control, terminal, { id, self }, stop.signal)
        if (terminal.json) return
      }
      const view = await findRun(control, id)
      terminal.draw([])
      terminal.result(view, () => showRun(view, self, terminal.style, { lineage: options.lineage }).join('\n'))
    })

  for (const { name, trains, about } of [
    { name: 'join', trains: true, about: 'train in a run from its next round on, with the text of this peer' },
    { name: 'leave', trains: false, about: 'train in a run no longer; it may be joined again' },
  ]) {
    withSettings(run.command(name).description(about))
      .argument('[run]', 'its id, the end of it, or its name')
      .action(async (named: string | undefined, options: SettingsOptions) => {
        const terminal = createTerminal({ json: options.json === true })
        const control = connectToPeer(options)
        const { id } = await findRun(control, named)
        const view = await control.call<RunView>('takePart', { run: id, trains })
        terminal.result(view, () =>
          trains
            ? `asked for a place in ${view.name}; owm run show ${view.name} tells when it has one`
            : `${view.name} goes on without this peer`,
        )
      })
  }

  for (const { action, about } of actions) {
    withSettings(run.command(action).description(about))
      .argument('[run]', 'its id, the end of it, or its name')
      .action(async (named: string | undefined, options: SettingsOptions) => {
        const terminal = createTerminal({ json: options.json === true })
        const control = connectToPeer(options)
        const { id } = await findRun(control, named)
        const view = await control.call<RunView>('controlRun', { run: id, action })
        terminal.result(view, () => changedWords(view))
      })
  }

  registerVerify(run)
  registerExport(run)
}

/** `owm run create`, and `owm train start`, which has fewer options. */
export async function createRun(options: SettingsOptions & Readonly<Record<string, unknown>>): Promise<void> {
  const terminal = createTerminal({ json: options.json === true })
  const control = connectToPeer(options)
  const request = newRunRequest(options)
  const { continueFrom } = request
  if (typeof continueFrom === 'string') request['continueFrom'] = (await findRun(control, continueFrom)).id
  const { run } = await control.call<{ run: string }>('createRun', request)
  terminal.result({ run }, () => `started run ${run}; follow it with: owm run show --watch ${run.slice(-8)}`)
}
