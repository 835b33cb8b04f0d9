import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createControlClient, type PeerStatus, socketPathFor } from '../src/control/index.ts'

const entry = join(import.meta.dirname, '../src/cli/owm.js')
const runTimeoutMs = 90_000

const children = new Set<ChildProcess>()
const folders = new Set<string>()
// The runner kills the whole process group as well; this is for a test file that is run by hand.
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A folder that is gone when the test file ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'owm-cli-'))
  folders.add(folder)
  return folder
}

/** Only what a test sets: the settings of whoever runs the tests are not the tests'. */
function environment(extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OWM_')))
  return { ...clean, OWM_NETWORK_MDNS: 'false', ...extra }
}

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `owm ARGS` to its end. `inside` is a command that runs it, such as `ip netns exec NAME`. */
export function owm(
  args: readonly string[],
  options: {
    readonly env?: Readonly<Record<string, string>>
    readonly inside?: readonly string[]
    readonly timeoutMs?: number
  } = {},
): Promise<Finished> {
  const [command = process.execPath, ...rest] = [...(options.inside ?? []), process.execPath, entry, ...args]
  return new Promise((resolve) => {
    const child = execFile(
      command,
      rest,
      {
        env: environment(options.env ?? {}),
        timeout: options.timeoutMs ?? runTimeoutMs,
        killSignal: 'SIGKILL',
        maxBuffer: 1 << 26,
      },
      (error, stdout, stderr) => {
        children.delete(child)
        resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : null, stdout, stderr })
      },
    )
    children.add(child)
  })
}

export interface RunningPeer {
  readonly pid: number
  readonly dataDir: string
  status(): Promise<PeerStatus>
  call<T>(verb: string, input?: unknown): Promise<T>
  signal(name: NodeJS.Signals): void
  readonly exited: Promise<number | null>
  /** Standard error so far. */
  log(): string
  stop(): Promise<void>
}

/** Starts a real `owm peer start` on loopback and free ports, and waits until it answers. */
export async function startPeer(options: {
  readonly dataDir: string
  readonly args?: readonly string[]
  readonly command?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly inside?: readonly string[]
}): Promise<RunningPeer> {
  const [command = process.execPath, ...rest] = [
    ...(options.inside ?? []),
    process.execPath,
    entry,
    ...(options.command ?? ['peer', 'start']),
    '--data-dir',
    options.dataDir,
    ...(options.args ?? []),
  ]
  const env = { OWM_NETWORK_LISTEN: '/ip4/127.0.0.1/tcp/0', OWM_HTTP_LISTEN: '127.0.0.1:0', ...options.env }
  const child = spawn(command, rest, { env: environment(env), stdio: ['ignore', 'ignore', 'pipe'] })
  children.add(child)
  let log = ''
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString('utf8')
  })
  const exited = new Promise<number | null>((resolve) =>
    child.once('exit', (code) => {
      children.delete(child)
      resolve(code)
    }),
  )
  const control = createControlClient(socketPathFor(options.dataDir))
  const peer: RunningPeer = {
    pid: child.pid ?? 0,
    dataDir: options.dataDir,
    status: () => control.call<PeerStatus>('status'),
    call: (verb, input) => control.call(verb, input),
    signal: (name) => void child.kill(name),
    exited,
    log: () => log,
    stop: async () => {
      child.kill('SIGTERM')
      await exited
    },
  }
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`the peer ended with ${child.exitCode}: ${log}`)
    return (await peer.status().catch(() => undefined))?.ready === true
  }, 30_000)
  return peer
}

/** Waits for a state, looking often. */
export async function until(state: () => boolean | Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const endMs = Date.now() + timeoutMs
  while (!(await state())) {
    if (Date.now() > endMs) throw new Error(`the state was not reached within ${timeoutMs} ms: ${state}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

interface ShellOptions {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly inside: readonly string[]
}

/** Runs a line as a reader of the documents would, in bash. */
export function shell(line: string, { cwd, env, inside }: ShellOptions): Promise<Finished> {
  const [command = 'env', ...rest] = inside
  return new Promise((resolve) => {
    const options = {
      cwd,
      env: environment(env),
      timeout: runTimeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: 1 << 26,
    } as const
    const child = execFile(command, [...rest, 'bash', '-c', line], options, (error, stdout, stderr) => {
      children.delete(child)
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : null, stdout, stderr })
    })
    children.add(child)
  })
}

/** Leaves a line running, as in a terminal of its own. It ends with the test file. */
export function startShell(
  line: string,
  { cwd, env, inside }: ShellOptions,
): { readonly exitCode: number | null; output(): string } {
  const [command = 'env', ...rest] = inside
  const child = spawn(command, [...rest, 'bash', '-c', line], {
    cwd,
    env: environment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.add(child)
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')))
  return {
    get exitCode() {
      return child.exitCode
    },
    output: () => text,
  }
}
