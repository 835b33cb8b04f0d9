import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ControlClient, createControlClient, socketPathFor } from '../../control/index.ts'
import { abortable, OwmError, sleep, withTimeout } from '../../lib/index.ts'

/** From spawn to the first answer on the control socket. Node itself needs half of it on a loaded machine. */
const startTimeoutMs = 30_000
/** A graceful stop flushes and says goodbye; after that the process is killed. */
const stopTimeoutMs = 6_000
const pollMs = 50

const entry = fileURLToPath(new URL('../owm.js', import.meta.url))

/** A real `owm peer start` in a process of its own, with its own data directory. */
export interface PeerProcess {
  readonly id: string
  readonly dataDir: string
  readonly control: ControlClient
  readonly alive: boolean
  /** Killed from outside rather than ended by itself. */
  readonly endedBySignal: boolean
  readonly pid: number
  /** Resolves when the peer answers. @throws OwmError `peer_failed` with the last lines of its log */
  ready(signal: AbortSignal): Promise<void>
  /** SIGKILL: what a power cut does. */
  kill(): void
  stop(): Promise<void>
  /** What it said last, for the message when it ends by itself. */
  lastWords(): string
  /** Resolves when the process is gone. */
  readonly exited: Promise<void>
}

export function startPeerProcess(options: {
  readonly id: string
  readonly dataDir: string
  readonly args: readonly string[]
}): PeerProcess {
  const control = createControlClient(socketPathFor(options.dataDir))
  const log = createWriteStream(join(options.dataDir, 'peer.log'))
  // The peer stops when its standard input closes, so it cannot outlive this process, however this process ends.
  const child = spawn(
    process.execPath,
    [entry, 'peer', 'start', '--until-stdin-closes', '--data-dir', options.dataDir, ...options.args],
    {
      env: withoutSettings(process.env),
      stdio: ['pipe', 'ignore', 'pipe'],
    },
  )
  child.stdin?.on('error', () => undefined)
  const lastLines: string[] = []
  child.stderr?.on('data', (chunk: Buffer) => {
    log.write(chunk)
    lastLines.push(
      ...chunk
        .toString('utf8')
        .split('\n')
        .filter((line) => line !== ''),
    )
    lastLines.splice(0, lastLines.length - 5)
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const running = (): boolean => child.exitCode === null && child.signalCode === null
  return {
    id: options.id,
    dataDir: options.dataDir,
    control,
    pid: child.pid ?? 0,
    get alive() {
      return running()
    },
    get endedBySignal() {
      return child.signalCode !== null
    },
    ready: async (signal) => {
      const limit = withTimeout(startTimeoutMs, signal)
      for (;;) {
        if (!running())
          throw new OwmError('peer_failed', `A peer ended while it started: ${lastLines.join(' ') || 'no message'}`)
        try {
          await control.call('status', {}, { signal: limit })
          return
        } catch (error) {
          if (!(error instanceof OwmError) || error.code !== 'not_running') throw error
        }
        await sleep(pollMs, limit)
      }
    },
    kill: () => void child.kill('SIGKILL'),
    stop: async () => {
      if (!running()) return
      child.stdin?.end()
      await abortable(exited, AbortSignal.timeout(stopTimeoutMs)).catch(() => child.kill('SIGKILL'))
      await exited
      log.end()
    },
    lastWords: () => lastLines.join('\n') || 'no message',
    exited,
  }
}

/** The user's own OWM_* settings are for the user's own peer. */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('OWM_')))
}
