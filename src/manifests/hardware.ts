import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { availableParallelism, cpus, totalmem } from 'node:os'
import type { Hardware } from './index.ts'
import { cgroupLimitFiles, usableMemory } from './memory-limit.ts'
import { nvidiaListArguments, nvidiaMemoryArguments, parseNvidiaSmi } from './nvidia-smi.ts'
import { parseRocmSmi, rocmArguments } from './rocm-smi.ts'

/** The tools take under a second, or several on a machine with many GPUs whose driver sleeps. A hung driver hangs them. */
const toolTimeoutMs = 10_000
const maxToolOutputBytes = 1024 * 1024

/** Runs a tool and returns its output, or '' when it is absent, fails, says too much or takes too long. */
export type RunTool = (file: string, args: readonly string[], signal: AbortSignal) => Promise<string>

/**
 * What this process can use of the machine: cores (affinity and quotas respected), memory (cgroup limits respected), and
 * the GPUs that nvidia-smi and rocm-smi report. A machine without these tools has no GPU.
 *
 * @throws the signal's reason, nothing else
 */
export async function detectHardware(signal: AbortSignal, runTool: RunTool = runToolBounded): Promise<Hardware> {
  const [memory, list, rocm, ramBytes] = await Promise.all([
    runTool('nvidia-smi', nvidiaMemoryArguments, signal),
    runTool('nvidia-smi', nvidiaListArguments, signal),
    runTool('rocm-smi', rocmArguments, signal),
    readUsableMemory(),
  ])
  signal.throwIfAborted()
  return {
    cpuModel: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    ramBytes,
    gpus: [...parseNvidiaSmi(memory, list), ...parseRocmSmi(rocm)],
  }
}

async function readUsableMemory(): Promise<number> {
  const groups = await readFile('/proc/self/cgroup', 'utf8').catch(() => '')
  const limits = await Promise.all(cgroupLimitFiles(groups).map((file) => readFile(file, 'utf8').catch(() => '')))
  return usableMemory(totalmem(), [...limits, String(process.constrainedMemory())])
}

export function runToolBounded(file: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const options = {
      signal,
      timeout: toolTimeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: maxToolOutputBytes,
      // Numbers and messages as the parsers know them, whatever the operator's language.
      env: { ...process.env, LC_ALL: 'C' },
      windowsHide: true,
    } as const
    execFile(file, [...args], options, (error, stdout) => resolve(error === null ? stdout : ''))
  })
}
