/**
 * Resident memory and time of LoRA beside plain inference and whole training of the same model, each in a process of
 * its own: weights from a file, a few runs, garbage collected; the largest resident size between runs, and the peak.
 *
 * `ratio` is beside the inference of `src/inference`, which is the fastest: the runtime lays out constant weights for it.
 * `leanRatio` is beside the inference with the least memory, that is fed its weights as LoRA is.
 *
 * `npm run bench -- lora [gpt2|medium]`
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { transformer } from '../../src/training/index.ts'
import type { Measured } from './lora/measure.ts'
import { shapeOf } from './lora/shape.ts'

export async function run([size = 'gpt2']: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const folder = mkdtempSync(join(tmpdir(), 'owm-bench-'))
  try {
    const file = join(folder, 'weights')
    const weights = transformer(shapeOf(size)).initial(1)
    writeFileSync(file, new Uint8Array(weights.buffer))
    const [inference, lean, lora, full] = ['inference', 'leanInference', 'lora', 'full'].map((kind) =>
      measure(kind, size, file),
    )
    return {
      parameters: inference!.parameters,
      adapterParameters: lora!.parameters,
      inferenceRssBytes: inference!.rssBytes,
      leanInferenceRssBytes: lean!.rssBytes,
      loraRssBytes: lora!.rssBytes,
      fullRssBytes: full!.rssBytes,
      ratio: round(lora!.rssBytes / inference!.rssBytes),
      leanRatio: round(lora!.rssBytes / lean!.rssBytes),
      inferencePeakRssBytes: inference!.peakRssBytes,
      loraPeakRssBytes: lora!.peakRssBytes,
      fullPeakRssBytes: full!.peakRssBytes,
      peakRatio: round(lora!.peakRssBytes / inference!.peakRssBytes),
      inferenceMs: round(inference!.stepMs),
      leanInferenceMs: round(lean!.stepMs),
      loraStepMs: round(lora!.stepMs),
      fullStepMs: round(full!.stepMs),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const round = (value: number): number => Number(value.toPrecision(4))

/** Garbage is collected early: room that V8 keeps for new objects is not what a model needs. */
const flags = ['--expose-gc', '--max-semi-space-size=2']

function measure(kind: string, size: string, file: string): Measured {
  const script = join(import.meta.dirname, 'lora', 'measure.ts')
  const { stdout, stderr, status } = spawnSync(process.execPath, [...flags, script, kind, size, file], {
    encoding: 'utf8',
    timeout: 300_000,
  })
  if (status !== 0) throw new Error(`${kind}: ${stderr}`)
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Measured
}
