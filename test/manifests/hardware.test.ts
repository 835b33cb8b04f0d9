import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { detectHardware, runToolBounded } from '../../src/manifests/hardware.ts'
import { createLoadMeter, type Hardware, tierOf, vramOf } from '../../src/manifests/index.ts'
import { loadPermilleOf } from '../../src/manifests/load.ts'
import { cgroupLimitFiles, usableMemory } from '../../src/manifests/memory-limit.ts'
import { parseNvidiaSmi } from '../../src/manifests/nvidia-smi.ts'
import { parseRocmSmi } from '../../src/manifests/rocm-smi.ts'
import { suite } from '../suite.ts'

const test = suite('hardware')
const mebibyte = 2 ** 20

test('nvidia-smi: one GPU, several, and names with odd characters', () => {
  assert.equal(parseNvidiaSmi('0, NVIDIA GeForce RTX 4090, 24564\n', ''), [
    { name: 'NVIDIA GeForce RTX 4090', vramBytes: 24_564 * mebibyte },
  ])
  assert.equal(
    parseNvidiaSmi('0, Tesla T4, 15360\r\n1, Tesla T4, 15360\r\n', 'GPU 0: Tesla T4 (UUID: GPU-1)\n').map(
      (gpu) => gpu.vramBytes,
    ),
    [15_360 * mebibyte, 15_360 * mebibyte],
  )
  assert.equal(
    parseNvidiaSmi('0, NVIDIA RTX A2000, 12GB (rev a1), 12282\n', '').map((gpu) => gpu.name),
    ['NVIDIA RTX A2000, 12GB (rev a1)'],
  )
})

test('nvidia-smi: a GPU cut up by MIG counts as its parts', () => {
  const memory = '0, NVIDIA A100-SXM4-80GB, 81920\n1, NVIDIA H100 NVL, 95830\n2, NVIDIA A100-SXM4-80GB, 81920\n'
  const list = [
    'GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-b614723c-e261-4605-066e-79daab4c00ff)',
    '  MIG 3g.40gb     Device  0: (UUID: MIG-dc34c2fd-4bd7-52ad-a6d0-645dcd1794e4)',
    '  MIG 1c.3g.40gb Device 1: (UUID: MIG-ec4c3916-65fa-5948-b9b5-9f21a2ddfcc0)',
    'GPU 1: NVIDIA H100 NVL (UUID: GPU-81495ec7-da36-8ea5-9f7d-5804aa3fef20)',
    '  MIG 1g.12gb+me  Device  0: (UUID: MIG-7839bf6f-ba33-59f0-89eb-01c8d8c4134d)',
    'GPU 2: NVIDIA A100-SXM4-80GB (UUID: GPU-2812eb50-852a-8049-1257-d447ce04b7d1)',
    '',
  ].join('\n')
  assert.equal(parseNvidiaSmi(memory, list), [
    { name: 'NVIDIA A100-SXM4-80GB MIG 3g.40gb', vramBytes: 40e9 },
    { name: 'NVIDIA A100-SXM4-80GB MIG 1c.3g.40gb', vramBytes: 40e9 },
    { name: 'NVIDIA H100 NVL MIG 1g.12gb+me', vramBytes: 12e9 },
    { name: 'NVIDIA A100-SXM4-80GB', vramBytes: 81_920 * mebibyte },
  ])
})

test('nvidia-smi: errors, unknown memory and nonsense', () => {
  for (const output of [
    '',
    'No devices were found\n',
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.\n",
    'Failed to initialize NVML: Driver/library version mismatch\n',
    'Unable to determine the device handle for GPU 0000:01:00.0: GPU is lost.  Reboot the system to recover this GPU\n',
    'Field "memory.total" is not a valid field to query.\n',
    '0, \u001b[31mGPU\u001b[0m, 1\n',
  ]) {
    assert.equal(parseNvidiaSmi(output, output), [])
  }
  // One memory for CPU and GPU, or a GPU that does not answer.
  assert.equal(parseNvidiaSmi('0, NVIDIA GB10, [N/A]\n1, Tesla K80, [GPU requires reset]\n2, X, 99999999999\n', ''), [
    { name: 'NVIDIA GB10', vramBytes: 0 },
    { name: 'Tesla K80', vramBytes: 0 },
  ])
  assert.equal(parseNvidiaSmi('0, X, 999999999\n', ''), [{ name: 'X', vramBytes: 0 }])
  assert.is(parseNvidiaSmi('0, X, 1\n'.repeat(1000), '').length, 64)
})

test('rocm-smi: older and newer keys, integrated graphics, warnings in front', () => {
  const newer = `WARNING: AMD GPU device(s) is/are in a low-power state. Check power control/runtime_status

{"card0": {"VRAM Total Memory (B)": "17163091968", "VRAM Total Used Memory (B)": "692142080", "Card Series": "Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]", "Card Model": "0x73bf", "Card Vendor": "Advanced Micro Devices, Inc. [AMD/ATI]", "GFX Version": "gfx1030"}, "card1": {"VRAM Total Memory (B)": "67108864", "VRAM Total Used Memory (B)": "26079232", "Card Series": "Raphael", "Card Model": "0x164e"}, "system": {"Driver version": "6.7.0"}}
`
  assert.equal(parseRocmSmi(newer), [
    { name: 'Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]', vramBytes: 17_163_091_968 },
    { name: 'Raphael', vramBytes: 67_108_864 },
  ])
  assert.equal(parseRocmSmi('{"card0": {"Card series": "Instinct MI210", "VRAM Total Memory (B)": "68702699520"}}'), [
    { name: 'Instinct MI210', vramBytes: 68_702_699_520 },
  ])
  assert.equal(
    parseRocmSmi('{"card3": {"Card Series": "N/A", "Card Model": "0x740c", "VRAM Total Memory (B)": "N/A"}}'),
    [{ name: 'card3', vramBytes: 0 }],
  )
})

test('rocm-smi: errors and nonsense', () => {
  for (const output of [
    '',
    'ERROR:root:Driver not initialized (amdgpu not found in modules)\n',
    '{"card0": {"VRAM Total',
    '{"card0": 1, "card1": null, "cardx": {}, "__proto__": {}}',
    '[]',
    'null',
    '}{',
  ]) {
    assert.equal(parseRocmSmi(output), [], output)
  }
  assert.equal(parseRocmSmi('{"card0": {"VRAM Total Memory (B)": "-1"}, "card1": {"VRAM Total Memory (B)": 1e300}}'), [
    { name: 'card0', vramBytes: 0 },
    { name: 'card1', vramBytes: 0 },
  ])
})

test('the parsers take any text', () => {
  const line = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.constantFrom(
      '0, X, 1',
      'GPU 0: X (UUID: 1)',
      '  MIG 1g.5gb Device 0: (UUID: 2)',
      '{"card0": {}}',
      '  MIG 9g.99999gb Device',
    ),
  )
  fc.assert(
    fc.property(fc.array(line, { maxLength: 20 }), (lines) => {
      const text = lines.join('\n')
      for (const gpu of [...parseNvidiaSmi(text, text), ...parseRocmSmi(text)]) {
        assert.ok(Number.isSafeInteger(gpu.vramBytes) && gpu.vramBytes >= 0 && gpu.name.length <= 160)
      }
    }),
  )
})

test("memory: the limits of one's own cgroup and of those above it, versions 1 and 2", () => {
  assert.equal(cgroupLimitFiles('0::/system.slice/owm.service\n'), [
    '/sys/fs/cgroup/system.slice/owm.service/memory.max',
    '/sys/fs/cgroup/system.slice/memory.max',
    '/sys/fs/cgroup/memory.max',
  ])
  assert.equal(cgroupLimitFiles('9:cpu,cpuacct:/x\n8:memory:/docker/ab\n0::/\n'), [
    '/sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes',
    '/sys/fs/cgroup/memory/docker/memory.limit_in_bytes',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes',
    '/sys/fs/cgroup/memory.max',
  ])
  assert.equal(cgroupLimitFiles('0::/../../x\n'), ['/sys/fs/cgroup/x/memory.max', '/sys/fs/cgroup/memory.max'])
  assert.equal(cgroupLimitFiles('garbage\n::\n\0'), [])
  assert.is(usableMemory(32e9, ['max\n', '9223372036854771712\n', '8000000000\n', '']), 8e9)
  assert.is(usableMemory(32e9, ['max\n', '64000000000', '0', '-5', '18446744073709552000']), 32e9)
})

test('tiers follow the table; CPU-only machines are t1; an override sets the tier alone', () => {
  const machine = (vramGb: number, ramGb: number): Hardware => ({
    cpuModel: 'x',
    cores: 8,
    ramBytes: ramGb * 1e9,
    gpus: vramGb === 0 ? [] : [{ name: 'g', vramBytes: vramGb * 1e9 }],
  })
  const link = (mbits: number) => ({ upBitsPerSecond: mbits * 1e6, downBitsPerSecond: 10 * mbits * 1e6 })
  assert.equal(tierOf(machine(0, 8)), { tier: 't1', cpuOnly: true })
  assert.equal(tierOf(machine(0.5, 512), link(5000)), { tier: 't1', cpuOnly: true })
  assert.equal(tierOf(machine(8, 16)), { tier: 't1', cpuOnly: false })
  assert.equal(tierOf(machine(24, 64)), { tier: 't2', cpuOnly: false })
  assert.equal(tierOf(machine(24, 63)), { tier: 't1', cpuOnly: false })
  assert.equal(tierOf(machine(80, 256), link(1000)), { tier: 't3', cpuOnly: false })
  assert.equal(tierOf(machine(80, 256), link(999)), { tier: 't2', cpuOnly: false })
  assert.equal(tierOf(machine(80, 256), link(199)), { tier: 't1', cpuOnly: false })
  assert.equal(tierOf(machine(80, 256), link(0)), { tier: 't3', cpuOnly: false })
  assert.equal(tierOf(machine(0, 8), link(1), 't3'), { tier: 't3', cpuOnly: true })
  // Cards as they report themselves.
  assert.is(tierOf({ ...machine(0, 256), gpus: parseNvidiaSmi('0, NVIDIA H100 80GB HBM3, 81559\n', '') }).tier, 't3')
  const two = { ...machine(0, 64), gpus: parseNvidiaSmi('0, A, 12288\n1, B, 12288\n', '') }
  assert.is(tierOf(two).tier, 't1')
  assert.is(vramOf(two), 12_288 * mebibyte)
})

test('the machine is described; tools that are absent, fail, hang or flood are as none', async () => {
  const signal = AbortSignal.timeout(15_000)
  const folder = mkdtempSync(join(tmpdir(), 'owm-hardware-'))
  const script = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, `#!/bin/sh\n${text}\n`)
    chmodSync(path, 0o755)
    return path
  }
  try {
    assert.is(await runToolBounded(join(folder, 'absent'), [], signal), '')
    assert.is(await runToolBounded(script('works', 'echo "0, X, 1"'), [], signal), '0, X, 1\n')
    assert.is(await runToolBounded(script('fails', 'echo "0, X, 1"; exit 9'), [], signal), '')
    assert.is(await runToolBounded(script('floods', 'exec cat /dev/zero'), [], signal), '')
    assert.is(await runToolBounded(script('hangs', 'exec sleep 1000'), [], AbortSignal.timeout(100)), '')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  const hardware = await detectHardware(signal, async (file, args) =>
    file === 'nvidia-smi' && args.includes('-L') ? 'GPU 0: X (UUID: 1)\n' : file === 'nvidia-smi' ? '0, X, 1024\n' : '',
  )
  assert.equal(hardware.gpus, [{ name: 'X', vramBytes: 1024 * mebibyte }])
  assert.ok(hardware.cores >= 1 && hardware.ramBytes > 0 && hardware.ramBytes <= totalmem())
  try {
    await detectHardware(AbortSignal.abort(new Error('stop')))
    assert.unreachable()
  } catch (error) {
    assert.is((error as Error).message, 'stop')
  }
})

test('load is the larger of run queue and event loop, within 0 to 1000', () => {
  assert.is(loadPermilleOf(1, 4, 0.1), 250)
  assert.is(loadPermilleOf(0, 4, 0.9), 900)
  assert.is(loadPermilleOf(12, 4, 0), 1000)
  assert.is(loadPermilleOf(Number.NaN, 0, 0), 0)
  const permille = createLoadMeter().permille()
  assert.ok(Number.isInteger(permille) && permille >= 0 && permille <= 1000)
})

test.run()
