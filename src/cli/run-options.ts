import { resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { integerBetween, numberIn } from './numbers.ts'

/** One option of `owm run create`: how it is written, the field of the request that it sets, and how it is read. */
interface CreateOption {
  readonly flags: string
  readonly field: string
  readonly about: string
  readonly parse?: (text: string, before: unknown) => unknown
}

const text = (value: string): string => value

/** Everything that a new run can be told; one line adds one. */
const createOptions: readonly CreateOption[] = [
  { flags: '--name <name>', field: 'name', about: 'the name that the model has in the mesh (default: owm-code)' },
  { flags: '--rounds <count>', field: 'rounds', about: 'rounds to train (default: 20)', parse: integerBetween(1) },
  {
    flags: '--local-seconds <seconds>',
    field: 'localMs',
    about: 'how long each peer trains in a round (default: 10)',
    parse: (value) => Math.round(numberIn({ above: 0 })(value) * 1000),
  },
  {
    flags: '--local-steps <count>',
    field: 'localSteps',
    about: 'and at most so many steps (default: 100000)',
    parse: integerBetween(1),
  },
  {
    flags: '--held-out <file>',
    field: 'heldOutFile',
    about:
      'public text, or data, on which every checkpoint is measured (default: made of what is kept from training here)',
    parse: (value) => resolve(value),
  },
  {
    flags: '--held-out-share <part>',
    field: 'heldOutShare',
    about: 'files kept from training, out of 256',
    parse: integerBetween(0, 128),
  },
  {
    flags: '--roster <peer...>',
    field: 'roster',
    about: 'peer ids of the first round (default: all live peers with text of their own)',
    parse: (value, before) => [...((before as string[] | undefined) ?? []), value],
  },
  {
    flags: '--minimum-trainers <count>',
    field: 'minimumTrainers',
    about: 'no round ends with fewer updates (default: 1)',
    parse: integerBetween(1, 1024),
  },
  {
    flags: '--committee <size>',
    field: 'committeeSize',
    about: 'members that aggregate and certify (default: 4, or as many as train)',
    parse: integerBetween(1, 31),
  },
  {
    flags: '--faults <model>',
    field: 'faults',
    about: 'crash: members may die; byzantine: up to a third may lie (at least 4 peers) (default: crash)',
    parse: oneOf('crash', 'byzantine'),
  },
  {
    flags: '--bits <bits>',
    field: 'updateBits',
    about: 'of each number of an update: 16, 8, 4, 2 or 1 (default: 8)',
    parse: (value) => Number(oneOf(...bitCounts)(value)),
  },
  {
    flags: '--share <part>',
    field: 'updateShare',
    about: "part of an update's numbers that is sent, the largest first; what is withheld comes later (default: all)",
    parse: numberIn({ above: 0 }),
  },
  {
    flags: '--result-bits <bits>',
    field: 'resultBits',
    about:
      'of each number of a step of the shared model, or none: whole models travel (default: 8, in small rosters none)',
    parse: (value) => (value === 'none' ? null : Number(oneOf('none', ...bitCounts)(value))),
  },
  {
    flags: '--aggregation <rule>',
    field: 'aggregation',
    about:
      'mean, clippedMean, mixedMedian, trimmedMean, median, krum, multiKrum, geometricMedian, centeredClipping (default: mean)',
  },
  {
    flags: '--outer <optimizer>',
    field: 'outer',
    about: 'how the aggregate moves the model: fedavg, fedavgm, fedadam or diloco (default: fedavg)',
  },
  {
    flags: '--clip <norm>',
    field: 'clipNorm',
    about: 'longest update, as an L2 norm (default: 100)',
    parse: numberIn({ above: 0 }),
  },
  {
    flags: '--local-epochs <count>',
    field: 'localEpochs',
    about: "passes over a peer's data in a round, if the time is enough",
    parse: numberIn({ above: 0 }),
  },
  {
    flags: '--batch <examples>',
    field: 'batch',
    about: 'examples that a local step sees (default: 16, of images 10)',
    parse: integerBetween(1, 65_536),
  },
  {
    flags: '--model <field=value...>',
    field: 'model',
    about: 'kind=mlp, cnn, lstm, gpt or bytes (the default), and its sizes: kind=mlp hidden=[200,200]',
    parse: setting,
  },
  {
    flags: '--optimizer <field=value...>',
    field: 'optimizer',
    about: 'differences from the usual optimizer: learningRate=0.001, kind=sgd',
    parse: setting,
  },
  {
    flags: '--continue <run>',
    field: 'continueFrom',
    about: "start from that run's newest checkpoint, with its model and held-out text",
  },
  {
    flags: '--plan <field=value...>',
    field: 'plan',
    about: 'any other field of the specification, its value as JSON or text',
    parse: setting,
  },
]

export function withCreateOptions(command: Command): Command {
  return withOptions(command, createOptions)
}

/** What `owm train start` takes of them. */
export function withStartOptions(command: Command): Command {
  const some = ['name', 'rounds', 'localMs', 'localEpochs', 'batch', 'model', 'heldOutFile', 'faults']
  return withOptions(
    command,
    createOptions.filter(({ field }) => some.includes(field)),
  )
}

function withOptions(command: Command, options: readonly CreateOption[]): Command {
  for (const { flags, about, parse } of options) command.option(flags, about, parse ?? text)
  return command
}

/** What the control verb `createRun` takes, of the options that were given. */
export function newRunRequest(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const request: Record<string, unknown> = { name: 'owm-code', rounds: 20, localMs: 10_000 }
  for (const { flags, field } of createOptions) {
    const value = given[optionName(flags)]
    if (value !== undefined) request[field] = value
  }
  return request
}

/** `--local-seconds <seconds>` -> `localSeconds`, as commander names it. */
function optionName(flags: string): string {
  return (/^--([a-z-]+)/.exec(flags)?.[1] ?? '').replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

const bitCounts = ['16', '8', '4', '2', '1']

function oneOf(...values: readonly string[]): (value: string) => string {
  return (value) => {
    if (values.includes(value)) return value
    throw new InvalidArgumentError(`Give ${values.join(' or ')}.`)
  }
}

/** `width=128` into `{ width: 128 }`: JSON where it is, else text. */
function setting(given: string, before: unknown): Record<string, unknown> {
  const at = given.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('Give field=value.')
  const value = given.slice(at + 1)
  let parsed: unknown = value
  try {
    parsed = JSON.parse(value)
  } catch {
    // A word needs no quotes.
  }
  return { ...(before as Record<string, unknown> | undefined), [given.slice(0, at)]: parsed }
}
