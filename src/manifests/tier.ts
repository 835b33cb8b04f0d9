import type { Hardware, Tier } from './index.ts'

/** NODE-03 and the table of tiers. Decimal GB: a card sold as 80 GB reports 79.6 GiB, a machine of 16 GiB some 15.5. */
const minimums: readonly {
  readonly tier: Tier
  readonly vramBytes: number
  readonly ramBytes: number
  readonly bitsPerSecond: number
}[] = [
  { tier: 't3', vramBytes: 80e9, ramBytes: 256e9, bitsPerSecond: 1000e6 },
  { tier: 't2', vramBytes: 24e9, ramBytes: 64e9, bitsPerSecond: 200e6 },
]

/** Integrated graphics report a few hundred megabytes cut from the machine's memory: no model fits, so it is no GPU here. */
const minUsefulVramBytes = 1e9

/** The memory of the largest GPU: a task runs on one. 0 without a GPU. */
export function vramOf(hardware: Hardware): number {
  return Math.max(0, ...hardware.gpus.map((gpu) => gpu.vramBytes))
}

/**
 * The highest tier whose minimums of VRAM, RAM and bandwidth (the slower direction) the machine meets. Bandwidth that is
 * not known yet, 0, does not count against it. t1 is the floor: a machine below its 8 GB of VRAM and 16 GB of RAM, one
 * without a GPU above all, is a t1 peer too, and `cpuOnly` says that it has none. An operator's override sets the tier
 * and nothing else.
 */
export function tierOf(
  hardware: Hardware,
  bandwidth?: { readonly upBitsPerSecond: number; readonly downBitsPerSecond: number },
  override?: Tier,
): { readonly tier: Tier; readonly cpuOnly: boolean } {
  const vramBytes = vramOf(hardware)
  const bitsPerSecond = Math.min(bandwidth?.upBitsPerSecond ?? 0, bandwidth?.downBitsPerSecond ?? 0)
  const measured = minimums.find(
    (minimum) =>
      vramBytes >= minimum.vramBytes &&
      hardware.ramBytes >= minimum.ramBytes &&
      (bitsPerSecond === 0 || bitsPerSecond >= minimum.bitsPerSecond),
  )
  return { tier: override ?? measured?.tier ?? 't1', cpuOnly: vramBytes < minUsefulVramBytes }
}
