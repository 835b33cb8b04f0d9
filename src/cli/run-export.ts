import { mkdir, readdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import type { ExportPiece } from '../control/index.ts'
import { newestWeights, openExport, type RunView } from '../federation/index.ts'
import { errorMessage, formatBytes, OwmError, writeFileAtomic } from '../lib/index.ts'
import { decodeModel, encodeModel, parameterLayout, splitParameters, withParameters } from '../onnx/index.ts'
import { encodeTensors } from '../training/index.ts'
import { findRun } from './run-find.ts'
import { connectToPeer, type SettingsOptions, withSettings } from './settings.ts'
import { createTerminal, type Terminal } from './terminal.ts'

interface ExportOptions extends SettingsOptions {
  readonly to?: string
}

/** What a peer may name: nothing that leads out of the folder. */
const safePath = /^(?:[a-z]+\/)?[A-Za-z0-9]{1,128}(?:\.[a-z]{1,8})?$/

export function registerExport(run: Command): void {
  withSettings(run.command('export').description('write a run into a folder: its model, and all that proves it'))
    .argument('[run]', 'its id, the end of it, or its name')
    .option('--to <folder>', 'a folder that is not there or empty (default: NAME-ROUND here)')
    .addHelpText(
      'after',
      `
The folder has the newest checkpoint as model.onnx and weights.safetensors, and the specification, certificates,
updates and weights that owm run verify FOLDER checks without any peer.`,
    )
    .action(async (named: string | undefined, options: ExportOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const control = connectToPeer(options)
      const view = await findRun(control, named)
      const folder = resolve(options.to ?? `${view.name}-${view.rounds.length}`)
      await makeEmpty(folder)
      const stop = new AbortController()
      process.once('SIGINT', () => stop.abort(new OwmError('aborted', 'Stopped before the end.')))
      const pieces = control.stream<ExportPiece>('exportRun', { run: view.id }, { signal: stop.signal })
      const written = await writePieces(pieces, folder, terminal)
      const model = await writeModel(folder, view, terminal)
      const summary = {
        format: 'owm-run-export',
        v: 1,
        run: view.id,
        name: view.name,
        owner: view.owner,
        certifiedRounds: model.certifiedRounds,
        checkpoint: model.checkpoint,
        specification: view.specification,
        rounds: view.rounds,
      }
      await writeFileAtomic(join(folder, 'run.json'), [Buffer.from(`${JSON.stringify(summary, null, 2)}\n`)])
      terminal.result({ folder, ...written, ...model }, () =>
        [
          `wrote ${written.files} files, ${formatBytes(written.bytes)}, to ${folder}`,
          `check it with: owm run verify ${folder}`,
        ].join('\n'),
      )
    })
}

async function makeEmpty(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  if ((await readdir(folder)).length > 0) {
    throw new OwmError('folder_in_use', `${folder} is not empty; give another with --to, or empty it.`)
  }
}

async function writePieces(
  pieces: AsyncIterable<ExportPiece>,
  folder: string,
  terminal: Terminal,
): Promise<{ readonly files: number; readonly bytes: number }> {
  let files = 0
  let bytes = 0
  let parts: Buffer[] = []
  for await (const { path, data, last } of pieces) {
    if (!safePath.test(path))
      throw new OwmError('malformed', `The peer names a file ${path}; nothing like it is written.`)
    parts.push(Buffer.from(data, 'base64'))
    if (!last) continue
    const target = join(folder, path)
    await mkdir(dirname(target), { recursive: true })
    await writeFileAtomic(target, parts)
    files++
    bytes += parts.reduce((sum, part) => sum + part.length, 0)
    parts = []
    terminal.draw([`${files} files, ${formatBytes(bytes)}`])
  }
  terminal.draw([])
  return { files, bytes }
}

/** The checkpoint as other programs read it. A graph that is not ONNX is no reason to give up the rest. */
async function writeModel(
  folder: string,
  view: RunView,
  terminal: Terminal,
): Promise<{ readonly certifiedRounds: number; readonly checkpoint: string; readonly model: boolean }> {
  const exported = await openExport(folder)
  const signal = new AbortController().signal
  const { round, checkpoint, weights } = await newestWeights(exported, signal)
  try {
    const graph = await exported.value(exported.graph, { maxBytes: 1 << 30, ask: true, signal })
    if (graph === null) throw new OwmError('not_found', 'the graph is not to be had')
    const model = decodeModel(graph)
    const tensors = splitParameters(parameterLayout(model), weights).map(({ name, shape, values }) => ({
      name,
      shape,
      data: values,
    }))
    const metadata = { run: view.id, name: view.name, round: String(round), checkpoint }
    await writeFileAtomic(join(folder, 'weights.safetensors'), encodeTensors({ tensors, metadata }))
    await writeFileAtomic(join(folder, 'model.onnx'), [encodeModel(withParameters(model, weights))])
    return { certifiedRounds: exported.rounds, checkpoint, model: true }
  } catch (error) {
    terminal.say(`model.onnx and weights.safetensors were not written: ${errorMessage(error)}`)
    return { certifiedRounds: exported.rounds, checkpoint, model: false }
  }
}
