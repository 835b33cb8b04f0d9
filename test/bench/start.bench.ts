/**
 * How soon a peer is ready and how much memory it takes when idle, on default settings but for loopback and free ports.
 * `readySeconds`: from spawn to the first 200 of `/health`, median of several starts with the compile cache warm;
 * `firstReadySeconds`: with it empty. `idleRssBytes`: the largest of several looks, after it settled.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createControlClient, type PeerStatus, socketPathFor } from '../../src/control/index.ts'

const starts = 5
const settleMs = 6_000
const looks = 10

export async function run(): Promise<Readonly<Record<string, number>>> {
  const folder = mkdtempSync(join(tmpdir(), 'owm-bench-start-'))
  try {
    const seconds: number[] = []
    const rss: number[] = []
    for (let i = 0; i <= starts; i++) {
      const measured = await once(join(folder, `peer-${i}`), join(folder, 'cache'), i === starts)
      seconds.push(measured.seconds)
      rss.push(...measured.rss)
      console.error(`start ${i}: ready after ${measured.seconds.toFixed(2)} s`)
    }
    const [first = 0, ...warm] = seconds
    return {
      firstReadySeconds: first,
      readySeconds: warm.sort((a, b) => a - b)[Math.floor(warm.length / 2)] ?? 0,
      idleRssBytes: Math.max(...rss),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function once(
  dataDir: string,
  cache: string,
  idle: boolean,
): Promise<{ readonly seconds: number; readonly rss: number[] }> {
  const port = await freePort()
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OWM_')))
  const startedMs = performance.now()
  const child = spawn(
    process.execPath,
    [
      'src/cli/owm.js',
      'peer',
      'start',
      '--data-dir',
      dataDir,
      '--no-mdns',
      '--http',
      `127.0.0.1:${port}`,
      '--listen',
      '/ip4/127.0.0.1/tcp/0',
      '/ip4/127.0.0.1/tcp/0/ws',
    ],
    { env: { ...clean, NODE_COMPILE_CACHE: cache }, stdio: 'ignore' },
  )
  const exited = new Promise((resolve) => child.once('exit', resolve))
  try {
    while (
      (await fetch(`http://127.0.0.1:${port}/health`).then(
        (answer) => answer.status,
        () => 0,
      )) !== 200
    ) {
      if (child.exitCode !== null) throw new Error(`the peer ended with ${child.exitCode}`)
      await pause(10)
    }
    const seconds = (performance.now() - startedMs) / 1000
    const rss: number[] = []
    if (idle) {
      await pause(settleMs)
      const control = createControlClient(socketPathFor(dataDir))
      for (let i = 0; i < looks; i++) {
        rss.push((await control.call<PeerStatus>('status')).rssBytes)
        await pause(1_000)
      }
    }
    return { seconds, rss }
  } finally {
    child.kill('SIGTERM')
    await exited
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}
