import { type Command, Option } from 'commander'
import { integerBetween } from '../numbers.ts'
import { createTerminal } from '../terminal.ts'
import { type DevnetOptions, maxPeers, maxRounds, parseKill } from './options.ts'

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
