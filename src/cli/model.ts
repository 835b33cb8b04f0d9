import { availableParallelism } from 'node:os'
import type { Command } from 'commander'
import { exitCodes, formatBytes, OwmError } from '../lib/index.ts'
import {
  detectSource,
  inspectModel,
  type ModelInspection,
  type Quantised,
  quantiseModelFile,
} from '../training/index.ts'
import { integerBetween } from './numbers.ts'
import { createTerminal, table } from './terminal.ts'

interface QuantiseOptions {
  readonly bits: number
  readonly out: string
  readonly block?: number
  readonly exempt?: readonly string[]
  readonly data?: readonly string[]
  readonly context: number
  readonly examples: number
  readonly json: boolean
}

/** Rows of a listing that a person reads through. */
const shownTensors = 40

/** `owm model`: ONNX files, from here or from anywhere. */
export function registerModel(program: Command): void {
  const model = program.command('model').description('look into ONNX models, and make small ones of large ones')
  model
    .command('inspect')
    .description('inputs, outputs, operators and weights of an ONNX file, and what of it can be trained here')
    .argument('<file>', 'an ONNX file')
    .option('--json', 'print JSON, for programs', false)
    .action(async (file: string, options: { readonly json: boolean }) => {
      const found = await inspectModel(file, untilInterrupted())
      createTerminal(options).result(found, () => describe(file, found))
    })
  model
    .command('quantise')
    .description('write a variant for inference with weights of 8 or 4 bits, and measure what that costs')
    .argument('<file>', 'an ONNX file')
    .requiredOption('--out <file>', 'where to write it')
    .option('--bits <bits>', '8 or 4', integerBetween(4, 8), 8)
    .option(
      '--block <rows>',
      'rows of a column that share a scale; by default 32 of 4 bits, the column of 8',
      integerBetween(16),
    )
    .option('--exempt <names...>', 'weights that stay as they are, * for any part')
    .option('--data <path...>', 'data whose held-out part both are measured on')
    .option('--context <tokens>', 'tokens of text seen at once', integerBetween(1), 128)
    .option('--examples <count>', 'held-out examples that are measured', integerBetween(1), 200)
    .option('--json', 'print JSON, for programs', false)
    .addHelpText('after', '\n  owm model quantise runs/gpt/model.onnx --bits 4 --data notes/ --out small.onnx')
    .action(async (file: string, options: QuantiseOptions) => {
      const { bits, out, block, exempt, data, context, examples } = options
      if (bits !== 4 && bits !== 8) throw new OwmError('bad_usage', `--bits is 8 or 4, not ${bits}.`)
      const made = await quantiseModelFile(
        {
          file,
          out,
          bits,
          examples,
          threads: Math.min(2, availableParallelism()),
          ...(block !== undefined && { blockSize: block }),
          ...(exempt !== undefined && { exempt }),
          ...(data !== undefined && { data: detectSource(data, { context }) }),
        },
        untilInterrupted(),
      )
      createTerminal(options).result({ ...made, out }, () => comparison(made, out))
    })
}

function untilInterrupted(): AbortSignal {
  const stop = new AbortController()
  process.once('SIGINT', () => {
    process.once('SIGINT', () => process.exit(exitCodes.interrupted))
    stop.abort()
  })
  return stop.signal
}

function describe(file: string, { inputs, outputs, operators, weights, bytes, trainable }: ModelInspection): string {
  const values = (all: ModelInspection['inputs']): string =>
    all.map(({ name, type, shape }) => `${name} ${type} [${shape.join(', ')}]`).join('; ')
  const counts = Object.entries(operators).sort((a, b) => b[1] - a[1])
  const head = [
    file,
    `inputs     ${values(inputs)}`,
    `outputs    ${values(outputs)}`,
    `operators  ${counts.map(([op, count]) => `${op} ${count}`).join(', ')}`,
    `weights    ${weights.toLocaleString('en')} numbers, ${formatBytes(bytes)}`,
  ]
  if ('message' in trainable) return [...head, `training   not here: ${trainable.message}`].join('\n')
  const { tensors, parameters, frozen } = trainable
  const rows = tensors.slice(0, shownTensors).map(({ name, shape }) => [name, `[${shape.join(', ')}]`])
  const more = tensors.length > shownTensors ? [`and ${tensors.length - shownTensors} more`] : []
  const still = frozen.length === 0 ? '' : `, ${frozen.length} tensors stay as they are`
  return [
    ...head,
    `training   ${parameters.toLocaleString('en')} parameters in ${tensors.length} tensors${still}`,
    '',
    table([['weight', 'shape'], ...rows]),
    ...more,
  ].join('\n')
}

function comparison({ bytes, loss }: Quantised, out: string): string {
  const size = `${out}: ${formatBytes(bytes.after)}, ${(bytes.before / bytes.after).toFixed(1)} times smaller than ${formatBytes(bytes.before)}`
  if (loss === null) return `${size}\nwhat that costs is measured with --data`
  const row = (name: string, { loss: value, accuracy, exampleMs }: typeof loss.before): string[] => [
    name,
    value.toFixed(4),
    accuracy === null ? '' : `${(100 * accuracy).toFixed(2)} %`,
    exampleMs.toFixed(2),
  ]
  const rows = [['', loss.unit, 'right', 'ms an example'], row('before', loss.before), row('after', loss.after)]
  return `${size}\n\n${table(rows)}`
}
