import { type Command, Option } from 'commander'
import { integerBetween, numberIn } from '../numbers.ts'
import type { LocalOptions } from './options.ts'

/** `owm train local`: training without a mesh. */
export function registerTrainLocal(train: Command): void {
  const local = train
    .command('local')
    .description('train a model on this machine alone: images, tables or text; it can be interrupted and gone on with')
    .option(
      '--model <model>',
      'mlp[:200,200], cnn, lstm[:hidden=256], gpt[:tiny|small|medium|layers=2,width=64]',
      'gpt',
    )
    .option('--data <path...>', "files or folders (owm data inspect tells what they are); by default OWM's own source")
    .option('--out <folder>', 'keep checkpoint, logs and the trained model here; the same again goes on where it ended')
    .option('--restart', 'begin anew in a folder that has a checkpoint', false)
    .option('--epochs <count>', 'passes over the data', numberIn({ above: 0 }))
    .option('--steps <count>', 'steps, in place of epochs', integerBetween(1))
    .option('--batch <examples>', 'examples whose gradients are averaged at once', integerBetween(1))
    .option('--accumulate <batches>', 'batches that make one step, with the memory of one', integerBetween(1))
    .option('--context <tokens>', 'tokens of text seen at once', integerBetween(1))
    .option(
      '--tail <share>',
      'hold out the last part of the text (0.1 is customary), not every tenth piece',
      numberIn({ above: 0, below: 1 }),
    )
    .option('--tokenizer <file>', 'tokens of text by this tokenizer.json (owm data tokenizer) in place of bytes')
    .option('--target <name>', 'the column or field that is to be told from the others')
    .option('--classes', 'folders in the folder are classes, their files examples, whatever they hold', false)
    .option('--optimizer <name>', 'sgd, momentum, nesterov or adamw')
    .option('--learning-rate <rate>', 'at its highest', numberIn({ above: 0 }))
    .addOption(new Option('--schedule <kind>', 'how the rate falls').choices(['constant', 'linear', 'cosine']))
    .option('--warmup <steps>', 'steps in which the rate rises', integerBetween(0))
    .option('--weight-decay <share>', 'of matrices, in a step at full rate', numberIn({ from: 0 }))
    .option('--clip <norm>', 'the longest gradient', numberIn({ above: 0 }))
    .option('--trainable <names...>', 'of a FILE.onnx: weights that are trained, * for any part; by default all')
    .option('--freeze <names...>', 'weights that are not')
    .option('--lora <rank>', 'train adapters of this rank beside the weights of a FILE.onnx', integerBetween(1))
    .option(
      '--lora-targets <names...>',
      'the weights that get adapters; by default all matrices but embeddings and head',
    )
    .option('--seed <number>', 'of the first weights and the order of the data', integerBetween(0), 1)
    .option('--threads <count>', 'of the runtime; up to two give the same bits', integerBetween(1), 2)
    .addOption(
      new Option('--provider <name>', 'what computes').choices(['cpu', 'webgpu', 'cuda', 'coreml']).default('cpu'),
    )
    .addOption(
      new Option('--precision <type>', 'float16: mixed, where the provider has it')
        .choices(['float32', 'float16'])
        .default('float32'),
    )
    .option('--measurements <count>', 'how often held-out data are measured on the way', integerBetween(0), 10)
    .option('--save-seconds <seconds>', 'between checkpoints', numberIn({ from: 0 }), 10)
    .option('--json', 'print the result as one JSON object', false)
    .addHelpText(
      'after',
      `
  owm train local                                             a small GPT reads OWM's source
  owm train local --model cnn --data mnist --out runs/cnn     the four files of MNIST are in mnist/
  owm train local --model lstm --data shakespeare.txt --tail 0.1

docs/training.md says what else can be trained, docs/data.md where to get data.`,
    )
  local.action(async (options: LocalOptions) => {
    const { runTrainLocal } = await import('./run.ts')
    await runTrainLocal(options)
  })
}
