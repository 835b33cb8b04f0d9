import type { Command } from 'commander'
import { exitCodes } from '../lib/index.ts'
import { readSettings, type SettingsOptions, withSettings } from './settings.ts'
import { createTerminal } from './terminal.ts'

export function registerDoctor(program: Command): void {
  withSettings(
    program
      .command('doctor')
      .description('check what really breaks for people, and say how to mend it')
      .addHelpText(
        'after',
        '\nNothing is changed. Exit code 0 when a peer can run here, 1 when something must be mended first.',
      ),
  ).action(async (options: SettingsOptions) => {
    const terminal = createTerminal({ json: options.json === true })
    const { examine } = await import('./examine.ts')
    const findings = await examine(readSettings(options))
    const failed = findings.some((finding) => finding.state === 'fail')
    const { style } = terminal
    const marks = { ok: style.green('ok  '), warn: style.yellow('look'), fail: style.red('fail') }
    terminal.result({ ok: !failed, findings }, () =>
      findings
        .map(
          ({ state, check, found, mend }) =>
            `${marks[state]}  ${check.padEnd(11)} ${found}${mend === undefined ? '' : `\n      ${''.padEnd(11)} -> ${mend}`}`,
        )
        .join('\n'),
    )
    if (failed) process.exitCode = exitCodes.failed
  })
}
