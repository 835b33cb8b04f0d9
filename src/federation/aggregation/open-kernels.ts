import { OwmError } from '../../lib/index.ts'
import type { Kernels } from './kernels.ts'
import { openPlainKernels } from './kernels-plain.ts'
import { openWasmKernels } from './kernels-wasm.ts'

export type KernelName = 'wasm' | 'plain'

/** WebAssembly where its SIMD works, which is in Node and in every browser since 2021 to 2023; else plain JavaScript. */
export function openKernels(updates: number, name?: KernelName): Kernels {
  const wasm = name === 'plain' ? undefined : openWasmKernels(updates)
  if (wasm === undefined && name === 'wasm') throw new OwmError('no_simd', 'This engine has no WebAssembly SIMD.')
  return wasm ?? openPlainKernels(updates)
}
