import type { Command } from 'commander'
import { type Config, loadConfig, parseSetting } from '../config/index.ts'
import { type ControlClient, createControlClient, socketPathFor } from '../control/index.ts'

/** Options that every command about this machine's peer has. */
export interface SettingsOptions {
  readonly config?: string
  readonly dataDir?: string
  readonly set?: readonly string[]
  readonly json?: boolean
}

export function withSettings(command: Command): Command {
  return command
    .option('--config <file>', 'configuration file (default: owm.toml in the data directory, where there is one)')
    .option('--data-dir <folder>', 'data directory (default: ~/.owm)')
    .option(
      '--set <section.key=value>',
      'override one setting; may be given again',
      (value: string, all: string[] = []) => [...all, value],
    )
    .option('--json', 'print JSON, for programs')
}

/** Defaults, then the file, then OWM_*, then flags. */
export function readSettings(options: SettingsOptions, named: Readonly<Record<string, unknown>> = {}): Config {
  const set = Object.fromEntries((options.set ?? []).map(parseSetting))
  return loadConfig({
    file: options.config,
    env: process.env,
    flags: { 'peer.data_dir': options.dataDir, ...named, ...set },
  })
}

export function connectToPeer(options: SettingsOptions): ControlClient {
  return createControlClient(socketPathFor(readSettings(options).peer.dataDir))
}
