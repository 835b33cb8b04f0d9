import type { Hardware } from './index.ts'

export type Gpu = Hardware['gpus'][number]

/** More than any machine holds; what is beyond is not believed. */
export const maxGpus = 64
const maxVramBytes = 2 ** 43

/** One line a GPU: `0, NVIDIA GeForce RTX 4090, 24564`, in MiB. */
export const nvidiaMemoryArguments = ['--query-gpu=index,name,memory.total', '--format=csv,noheader,nounits']
/** One line a GPU, and one below it for each MIG device. */
export const nvidiaListArguments = ['-L']

/**
 * The GPUs in the two outputs of nvidia-smi. A GPU that is cut up by MIG counts as its parts, since no program can use
 * more than one part. Memory that the driver does not tell (`[N/A]` on machines with one memory for all) is 0. Lines
 * that are something else, such as errors, are passed over.
 */
export function parseNvidiaSmi(memory: string, list: string): Gpu[] {
  const parts = parseMigDevices(list)
  const gpus: Gpu[] = []
  for (const line of memory.split('\n')) {
    const match = /^\s*(\d{1,4}), ([\x20-\x7e]{1,128}?), (\d{1,9}|\[[\w/ ]{1,40}\])\s*$/.exec(line)
    if (match === null) continue
    const [, index = '', name = '', mebibytes = ''] = match
    gpus.push(...(parts.get(index) ?? [{ name, vramBytes: sane(Number(mebibytes) * 2 ** 20) }]))
  }
  return gpus.slice(0, maxGpus)
}

/** By the index of the GPU. A profile's size (`1g.10gb`, `1c.3g.40gb`, `1g.10gb+me`) is rounded, so decimal GB is the safe reading. */
function parseMigDevices(list: string): Map<string, Gpu[]> {
  const parts = new Map<string, Gpu[]>()
  let index = ''
  let name = ''
  for (const line of list.split('\n')) {
    const gpu = /^GPU (\d{1,4}): ([\x20-\x7e]{1,128}?)(?: \(UUID: .*)?$/.exec(line.trimEnd())
    if (gpu !== null) {
      index = gpu[1] ?? ''
      name = gpu[2] ?? ''
      continue
    }
    const part = /^\s+MIG ((?:\dc\.)?\d{1,2}g\.(\d{1,4})gb[\w.+-]{0,16})\s+Device\s/.exec(line)
    if (part === null || index === '') continue
    const devices = parts.get(index) ?? []
    devices.push({ name: `${name} MIG ${part[1]}`, vramBytes: sane(Number(part[2]) * 10 ** 9) })
    parts.set(index, devices)
  }
  return parts
}

export function sane(vramBytes: number): number {
  return Number.isSafeInteger(vramBytes) && vramBytes > 0 && vramBytes <= maxVramBytes ? vramBytes : 0
}
