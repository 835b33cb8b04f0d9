import { InvalidArgumentError } from 'commander'
import { OwmError } from '../../lib/index.ts'
import type { Kill } from './report.ts'

export const maxPeers = 16
export const maxRounds = 1000

export interface DevnetOptions {
  readonly peers: number
  readonly rounds: number
  readonly exit: boolean
  readonly data?: string
  readonly kill?: Kill
  readonly prompt: string
  readonly json: boolean
}

export function parseKill(text: string): Kill {
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
