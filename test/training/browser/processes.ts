/** Jobs in processes of their own. */
import { fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Request } from './child.ts'
import { chromiumPath } from './chromium.ts'
import type { Job, Outcome } from './run-steps.ts'

const timeoutMs = 60_000

export const runWasm = async (job: Job): Promise<Outcome> => (await ask({ kind: 'wasm', job }, {}))!

/** WebGPU outside a browser: with the machine's own driver, else, if wanted, with the software one that comes with Chromium. */
export async function findWebGpu(
  software: boolean,
): Promise<{ readonly run?: (job: Job) => Promise<Outcome>; readonly what: string }> {
  let why = ''
  for (const environment of [{}, ...(software ? [softwareDriver()] : [])]) {
    try {
      await ask({ kind: 'probe' }, environment)
      return { run: async (job) => (await ask({ kind: 'webgpu', job }, environment))!, what: 'found' }
    } catch (error) {
      why = String(error)
    }
  }
  return { what: why }
}

/** Chromium brings SwiftShader, and a loader for drivers, in its own folder. */
function softwareDriver(): Readonly<Record<string, string>> {
  const folders = [join(chromiumPath, '..'), '/usr/lib/chromium', '/usr/lib/chromium-browser']
  const folder = folders.find((one) => existsSync(join(one, 'vk_swiftshader_icd.json')))
  if (folder === undefined) return {}
  return { VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json'), LD_LIBRARY_PATH: folder }
}

async function ask(request: Request, environment: Readonly<Record<string, string>>): Promise<Outcome | undefined> {
  const child = fork(join(import.meta.dirname, 'child.ts'), {
    env: { ...process.env, ...environment },
    execArgv: [],
    serialization: 'advanced',
    // The driver says on its standard error what it does not find.
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  try {
    return await new Promise<Outcome | undefined>((resolve, reject) => {
      child.once('message', (answer: { readonly outcome?: Outcome; readonly error?: string }) => {
        if (answer.error === undefined) resolve(answer.outcome)
        else reject(new Error(answer.error))
      })
      child.once('exit', (code, signal) => reject(new Error(`the process ended with ${code ?? signal}`)))
      child.once('error', reject)
      child.send(request)
    })
  } finally {
    clearTimeout(timer)
    child.kill('SIGKILL')
  }
}
