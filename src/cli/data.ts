import type { Command } from 'commander'
import { integerBetween, numberIn } from './numbers.ts'

/** `owm data`: what is in files and folders, and tokenizers of text. */
export function registerData(program: Command): void {
  const data = program.command('data').description('look into data to train on, and learn a tokenizer of text')
  data
    .command('inspect')
    .description('what files or folders hold: kind, examples, classes, what is held out, duplicates, a sample')
    .argument('<path...>', 'a folder, or files')
    .option('--target <name>', 'the column or field that is to be told from the others')
    .option(
      '--tail <share>',
      'hold out the last part of the text, not every tenth piece',
      numberIn({ above: 0, below: 1 }),
    )
    .option('--classes', 'folders in the folder are classes, their files examples, whatever they hold', false)
    .option('--json', 'print JSON, for programs', false)
    .addHelpText(
      'after',
      `
What is read: text and code, in files or below a folder; images and labels as MNIST's IDX files; tables (CSV);
JSON lines; folders of PNG, PGM or PPM images, one for each class.

Where to get some, by name (nothing is downloaded):
  MNIST              LeCun, Cortes and Burges, "The MNIST database of handwritten digits"; mirrored by PyTorch's
                     torchvision and TensorFlow's data sets. Put its four files into one folder.
  Tiny Shakespeare   input.txt in data/tinyshakespeare of Andrej Karpathy's char-rnn
  Iris, Adult, ...   the UCI Machine Learning Repository, as CSV

  owm data inspect mnist/
  owm data inspect shakespeare.txt --tail 0.1`,
    )
    .action(async (paths: string[], options: InspectOptions) => {
      const { runInspect } = await import('./data-inspect.ts')
      await runInspect(paths, options)
    })
  data
    .command('tokenizer')
    .description('learn byte-level BPE tokens from text, as a tokenizer.json that other tools read too')
    .argument('<path...>', 'files or folders of text')
    .requiredOption('--out <file>', 'where to write it')
    .option('--vocabulary <tokens>', 'how many tokens, the 256 bytes among them', integerBetween(256), 4096)
    .option('--min-frequency <count>', 'pairs seen less often make no token', integerBetween(1), 2)
    .option('--json', 'print JSON, for programs', false)
    .addHelpText(
      'after',
      `
The text that is held out of training (about a tenth, by content) is left out here too.

  owm data tokenizer books/ --vocabulary 8192 --out tokenizer.json`,
    )
    .action(async (paths: string[], options: TokenizerOptions) => {
      const { runTokenizer } = await import('./data-tokenizer.ts')
      await runTokenizer(paths, options)
    })
}

export interface InspectOptions {
  readonly target?: string
  readonly tail?: number
  readonly classes: boolean
  readonly json: boolean
}

export interface TokenizerOptions {
  readonly out: string
  readonly vocabulary: number
  readonly minFrequency: number
  readonly json: boolean
}
