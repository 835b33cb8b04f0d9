import { type Command, InvalidArgumentError, Option } from 'commander'
import { OwmError } from '../../lib/index.ts'
import { createTerminal } from '../terminal.ts'
import type { Kill } from './report.ts'

const maxPeers = 16
const maxRounds = 1000

export interface DevnetOptions {
  readonly peers: number
  readonly rounds: number
  readonly exit: boolean
  readonly data?: string
  readonly kill?: Kill
  readonly prompt: string
  readonly json: boolean
}

/** `owm devnet`: the whole idea on one machine, in a minute. */
export function registerDevnet(program: Command): void {
  program
    .command('devnet')
    .description(
      'start a small mesh on this machine: real peers that train a model on real text, certify it, and answer',
    )
    .option('--peers <count>', 'how many peer processes', integerBetween(1, maxPeers), 3)
    .option('--rounds <count>', 'federated rounds to train', integerBetween(1, maxRounds), 8)
    .option('--data <folder>', 'train on the text below this folder instead of the installed packages')
    .option('--prompt <text>', 'what to ask at the end', 'export function ')
    .addOption(
      new Option('--kill <who@round>', 'kill -9 a peer in a round: leader@3 or trainer@3').argParser(parseKill),
    )
    .option('--exit', 'end after the last round and its answer, instead of staying for you to look at', false)
    .option('--json', 'print the figures as one JSON object on the last line of standard output', false)
    .addHelpText(
      'after',
      `
Each peer is a real \`owm peer start\` with its own identity, data directory and part of the text; nothing leaves the
loopback interface. While it runs, the printed address shows the dashboard and answers OpenAI clients. Ctrl-C stops
every process and deletes what was made.

  owm devnet                                 watch, then look around
  owm devnet --rounds 8 --exit --json        for scripts and benchmarks
  owm devnet --kill leader@3                 watch a peer die and nothing happen
  owm devnet --data ~/notes --peers 4        your own text`,
    )
    .action(async (options: DevnetOptions) => {
      const terminal = createTerminal({ json: options.json })
      const { runDevnet } = await import('./run.ts')
      await runDevnet(options, terminal)
    })
}

function integerBetween(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new InvalidArgumentError(`Give a whole number from ${low} to ${high}.`)
    }
    return value
  }
}

function parseKill(text: string): Kill {
  const match = /^(leader|trainer)@([1-9]\d{0,3})$/.exec(text)
  if (match === null) throw new InvalidArgumentError('Write leader@3 or trainer@3: whom to kill, and in which round.')
  return { role: match[1] as Kill['role'], round: Number(match[2]) }
}

/** The kill must fall into a round there is, and leave a quorum. */
export function checkKill(options: DevnetOptions): void {
  if (options.kill === undefined) return
  if (options.kill.round > options.rounds) {
    throw new OwmError('bad_usage', `--kill names round ${options.kill.round}, and there are ${options.rounds}.`)
  }
  if (options.peers < 3)
    throw new OwmError('bad_usage', `--kill needs at least 3 peers, so that a majority is left of them.`)
}
