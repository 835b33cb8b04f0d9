import type { ControlClient } from '../control/index.ts'
import type { RunView } from '../federation/index.ts'
import { OwmError } from '../lib/index.ts'

/** Letters of an id's end by which a run may be named: what tables show. */
const leastSuffix = 4

/** The run that is meant by an id, the end of one, or a model's name; the only one where none is named. @throws OwmError `unknown_run`, `ambiguous_run` */
export async function findRun(control: ControlClient, named: string | undefined): Promise<RunView> {
  return chooseRun(await control.call<RunView[]>('runs'), named)
}

/** As `findRun`, among runs that are known. */
export function chooseRun(runs: readonly RunView[], named: string | undefined): RunView {
  const wanted = named?.replace(/^…/, '')
  const found =
    wanted === undefined
      ? runs
      : [
          runs.filter(({ id }) => id === wanted),
          runs.filter(({ name }) => name === wanted),
          runs.filter(({ id }) => wanted.length >= leastSuffix && id.endsWith(wanted)),
        ].find((some) => some.length > 0)
  if (found === undefined || found.length === 0) {
    throw named === undefined
      ? new OwmError('unknown_run', 'This peer knows no run yet; create one with: owm run create')
      : new OwmError('unknown_run', `This peer knows no run ${named}; owm run list shows those it has heard of.`)
  }
  // Of several with one name the one that is not over is meant.
  const open = found.filter(({ status }) => status !== 'finished' && status !== 'cancelled')
  const [only] = found.length === 1 ? found : open
  if (only !== undefined && (found.length === 1 || open.length === 1)) return only
  const ids = found.map(({ id, name, status }) => `${id} (${name}, ${status})`)
  throw new OwmError('ambiguous_run', `Which run? Give its id:\n  ${ids.join('\n  ')}`)
}
