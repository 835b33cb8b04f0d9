import type { ControlClient } from '../control/index.ts'
import type { FederationEvent, RunView } from '../federation/index.ts'
import { sleep } from '../lib/index.ts'
import { chooseRun } from './run-find.ts'
import { showRun, stateOf } from './run-view.ts'
import { short, type Terminal } from './terminal.ts'

/** Events come in bursts: the view is drawn again at most so often. */
const redrawMs = 300
/** Lines beside the rows of rounds: headline, facts, and a heading. */
const otherLines = 16

/** Shows a run as it goes, until it is over or the signal aborts. With JSON, each event is a line. */
export async function watchRun(
  control: ControlClient,
  terminal: Terminal,
  { id, self }: { readonly id: string; readonly self: string },
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController()
  const ends = AbortSignal.any([signal, over.signal])
  let dirty = true
  let drawing: Promise<void> = Promise.resolve()
  const draw = async (): Promise<void> => {
    while (!ends.aborted) {
      if (dirty) {
        dirty = false
        const run = chooseRun(await control.call<RunView[]>('runs'), id)
        const lines = showRun(run, self, terminal.style, { rounds: Math.max(3, terminal.rows - otherLines) })
        terminal.draw(lines.slice(0, terminal.rows - 1).map((line) => fitted(line, terminal.columns - 1)))
        if (run.status === 'finished' || run.status === 'cancelled') over.abort()
      }
      await sleep(redrawMs, ends).catch(() => undefined)
    }
  }
  if (terminal.live) drawing = draw()
  try {
    for await (const event of control.stream<FederationEvent>('events', {}, { signal: ends })) {
      if (event.run !== id) continue
      dirty = true
      if (terminal.json) terminal.result(event, () => '')
      else if (!terminal.live) {
        const line = wordsOf(event)
        if (line !== null) terminal.say(line)
      }
      if (event.type === 'run-finished' && !terminal.live) break
    }
  } catch (error) {
    if (!ends.aborted) throw error
  } finally {
    over.abort()
    await drawing
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is taken away.
const escapes = /\x1b\[[0-9;]*m/g

/** A line that wraps would be drawn over wrongly; one that is cut loses its colours. */
function fitted(line: string, columns: number): string {
  const plain = line.replace(escapes, '')
  return plain.length <= columns ? line : `${plain.slice(0, columns - 1)}…`
}

/** One line for what a person would want to know where nothing can be redrawn. */
function wordsOf(event: FederationEvent): string | null {
  switch (event.type) {
    case 'round-started':
      return `round ${event.round} started, ${short(event.leader)} leads`
    case 'update-rejected':
      return `round ${event.round}: the update of ${short(event.trainer)} was refused: ${event.code}`
    case 'leader-passed-over':
      return `round ${event.round}: ${short(event.leader)} is passed over, ${short(event.next)} leads`
    case 'round-certified': {
      const { round, trainers, signatures, seconds } = event.round
      return `round ${round} certified: ${trainers.length} updates, ${signatures} signatures, ${seconds.toFixed(1)} s`
    }
    case 'evaluated':
      return `round ${event.round} measures ${event.heldOutLoss.toFixed(3)}`
    case 'run-controlled':
      return `the owner: ${event.action}${event.last === null ? '' : ` after round ${event.last}`}`
    case 'run-finished':
      return 'the run is over'
    default:
      return null
  }
}

/** The state of a run in a word, for commands that changed it. */
export function changedWords(run: RunView): string {
  return `${run.name} (run ${short(run.id)}): ${stateOf(run)}`
}
