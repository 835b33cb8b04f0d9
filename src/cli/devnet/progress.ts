import type { FederationEvent, RoundView } from '../../federation/index.ts'
import { formatBytes } from '../../lib/index.ts'
import { short, sparkline, type Terminal } from '../terminal.ts'

/** Redrawing more often than the eye follows costs the peers their processor. */
const redrawMs = 250
const barWidth = 20

export interface PeerLine {
  readonly id: string
  readonly about: string
  readonly dataBytes: number
}

export interface Baselines {
  readonly unigram: number
  readonly bigram: number
  readonly trigram: number
}

/** What a person watches: a line for each finished round, and below them the peers at work. */
export interface Progress {
  event(peer: string, event: FederationEvent): void
  killed(peer: string, role: string, round: number): void
  /** Somebody else killed it. */
  gone(peer: string): void
  baselines(values: Baselines): void
  stop(): void
}

interface PeerState extends PeerLine {
  step: number
  loss: number | null
  rate: number
  state: string
}

export function createProgress(
  terminal: Terminal,
  peers: readonly PeerLine[],
  rounds: number,
  localMs: number,
): Progress {
  const { style } = terminal
  const states = new Map<string, PeerState>(
    peers.map((peer) => [peer.id, { ...peer, step: 0, loss: null, rate: 0, state: 'ready' }]),
  )
  const curve: number[] = []
  const certified = new Map<number, RoundView>()
  const told = new Set<string>()
  let round = 0
  let roundStartedMs = 0
  let leader = ''
  let committee: readonly string[] = []
  let lines: Baselines | null = null

  const once = (key: string, tell: () => void): void => {
    if (told.has(key)) return
    told.add(key)
    tell()
  }

  const draw = (): void => {
    const fraction = Math.min(1, (Date.now() - roundStartedMs) / localMs)
    const rows = [...states.values()].map((peer) => {
      const name = peer.state === 'killed' ? style.red(short(peer.id)) : style.cyan(short(peer.id))
      const filled = peer.state === 'training' ? Math.round(fraction * barWidth) : peer.state === 'done' ? barWidth : 0
      const bar = style.green('━'.repeat(filled)) + style.dim('─'.repeat(barWidth - filled))
      const loss = peer.loss === null ? ''.padEnd(15) : `${peer.loss.toFixed(2)} bits/byte`.padEnd(15)
      const role = peer.id === leader ? 'leader' : committee.includes(peer.id) ? 'committee' : ''
      return `  ${name} ${bar} ${peer.state.padEnd(9)} ${loss} ${style.dim(`${role.padEnd(9)} ${formatBytes(peer.dataBytes)}: ${peer.about}`)}`
    })
    const known =
      lines === null ? '' : style.dim(`   bigram ${lines.bigram.toFixed(2)}  trigram ${lines.trigram.toFixed(2)}`)
    const shown =
      curve.length === 0
        ? ''
        : `  held out ${sparkline(curve)} ${style.bold((curve.at(-1) ?? 0).toFixed(2))} bits/byte${known}`
    terminal.draw(
      ['', style.bold(`  round ${Math.min(round, rounds)} of ${rounds}`), ...rows, shown].map((row) =>
        cut(row, terminal.columns),
      ),
    )
  }
  const timer = setInterval(draw, redrawMs)
  if (!terminal.live) clearInterval(timer)

  return {
    event: (peer, event) => {
      const state = states.get(peer)
      switch (event.type) {
        case 'round-started':
          if (event.round > round) {
            round = event.round
            roundStartedMs = Date.now()
            for (const other of states.values()) if (other.state !== 'killed') other.state = 'training'
          }
          leader = event.leader
          committee = event.committee
          break
        case 'train-progress':
          if (state !== undefined && event.trainer === peer) {
            state.step = event.step
            state.loss = event.loss
            state.rate = event.stepsPerSecond
            state.state = 'training'
          }
          break
        case 'update-accepted': {
          const trainer = states.get(event.trainer)
          if (trainer !== undefined && trainer.state !== 'killed') trainer.state = 'done'
          break
        }
        case 'update-rejected':
          once(`reject ${event.round} ${event.trainer}`, () =>
            terminal.say(
              style.yellow(
                `  ! round ${event.round}: the update of ${short(event.trainer)} was rejected (${event.code})`,
              ),
            ),
          )
          break
        case 'leader-passed-over':
          once(`pass ${event.round} ${event.leader}`, () =>
            terminal.say(
              style.yellow(
                `  ↷ round ${event.round}: leader ${short(event.leader)} is gone, ${short(event.next)} takes over`,
              ),
            ),
          )
          break
        case 'round-certified':
          once(`round ${event.round.round}`, () => {
            certified.set(event.round.round, event.round)
            terminal.say(certifiedLine(event.round, terminal))
          })
          break
        case 'evaluated':
          once(`evaluated ${event.round}`, () => {
            curve.push(event.heldOutLoss)
            if (!terminal.live)
              terminal.say(`    round ${event.round}: held out ${event.heldOutLoss.toFixed(3)} bits per byte`)
          })
          break
        case 'run-joined':
        case 'run-finished':
          break
      }
    },
    killed: (peer, role, inRound) => {
      const state = states.get(peer)
      if (state !== undefined) state.state = 'killed'
      terminal.say(style.red(`  ✗ round ${inRound}: kill -9 of the ${role} ${short(peer)}`))
    },
    gone: (peer) => {
      const state = states.get(peer)
      if (state !== undefined) state.state = 'killed'
      terminal.say(style.red(`  ✗ round ${round}: ${short(peer)} was killed; the others go on`))
    },
    baselines: (values) => {
      lines = values
    },
    stop: () => {
      clearInterval(timer)
      terminal.draw([])
    },
  }
}

function certifiedLine(round: RoundView, { style }: Terminal): string {
  const signed = `signed by ${round.signatures} of ${round.committee.length}`
  const facts = `${round.trainers.length} updates, leader ${short(round.leader)}, ${round.seconds.toFixed(1)} s`
  return `  ${style.green('✓')} round ${round.round} certified, ${signed}: ${facts}  ${style.dim(short(round.checkpoint))}`
}

/** Cuts a line to the terminal's width so that redrawing counts rows right; escape sequences take no room. */
function cut(line: string, columns: number): string {
  let room = columns - 1
  let kept = ''
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is recognised.
  for (const part of line.split(/(\x1b\[[0-9;]*m)/)) {
    if (part.startsWith('\x1b[')) kept += part
    else {
      kept += part.slice(0, Math.max(0, room))
      room -= part.length
    }
  }
  return kept
}
