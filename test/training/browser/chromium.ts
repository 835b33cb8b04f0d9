/** A headless Chromium with a page that has onnxruntime-web, served over loopback. */
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createRequire, stripTypeScriptTypes } from 'node:module'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { chromium } from 'playwright-core'
import { fromText, type Job, type Outcome, toText } from './run-steps.ts'

export const chromiumPath = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
export const howToGetChromium = `no Chromium at ${chromiumPath}: apt-get install chromium, or name one in CHROMIUM`
export const hasChromium = existsSync(chromiumPath)

export interface Page {
  /** WebGPU's adapter, or why there is none. */
  readonly adapter: { readonly found: boolean; readonly what: string }
  run(provider: 'wasm' | 'webgpu', job: Job): Promise<Outcome>
  close(): Promise<void>
}

const html = '<!doctype html><title>steps</title><script type="module" src="/in-page.ts"></script>'
const runtimeFiles = join(dirname(createRequire(import.meta.url).resolve('onnxruntime-web')))
const contentTypes: Readonly<Record<string, string>> = {
  mjs: 'text/javascript',
  ts: 'text/javascript',
  wasm: 'application/wasm',
}

/** Starts the browser: a second or two. */
export async function openPage(): Promise<Page> {
  const jobs = new Map<string, string>()
  const { server, url } = await serve(jobs)
  // WebGPU is computed by a GPU, or by the software adapter that comes with Chromium.
  const browser = await chromium
    .launch({
      executablePath: chromiumPath,
      args: [
        '--no-sandbox',
        '--disable-dev-shm-usage',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--disable-quic',
        '--enable-unsafe-webgpu',
        '--enable-features=Vulkan',
      ],
    })
    .catch(async (error: unknown) => {
      await stop(server)
      throw error
    })
  const close = async (): Promise<void> => {
    await browser.close()
    await stop(server)
  }
  try {
    const page = await browser.newPage()
    await page.goto(url)
    await page.waitForFunction('"runJob" in globalThis')
    return {
      adapter: await page.evaluate<Page['adapter']>('findAdapter()'),
      run: async (provider, job) => {
        const path = `/job/${jobs.size}`
        jobs.set(path, toText(job))
        const call = `runJob(${JSON.stringify(provider)}, ${JSON.stringify(path)})`
        return fromText<Outcome>(await page.evaluate<string>(call))
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function serve(jobs: ReadonlyMap<string, string>): Promise<{ readonly server: Server; readonly url: string }> {
  const contentOf = (path: string): string | Buffer | undefined => {
    if (path === '/') return html
    if (path === '/in-page.ts' || path === '/run-steps.ts') {
      return stripTypeScriptTypes(readFileSync(join(import.meta.dirname, path), 'utf8'))
    }
    const [, file] = /^\/onnxruntime\/(ort[\w.-]+\.(?:mjs|wasm))$/.exec(path) ?? []
    if (file !== undefined && existsSync(join(runtimeFiles, file))) return readFileSync(join(runtimeFiles, file))
    return jobs.get(path)
  }
  const server = createServer((request, response) => {
    const path = request.url ?? '/'
    const content = contentOf(path)
    response.writeHead(content === undefined ? 404 : 200, {
      'content-type': contentTypes[path.split('.').at(-1) ?? ''] ?? 'text/html',
      // The runtime's threads share memory, which a page may only have when it is isolated so.
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
    })
    response.end(content)
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` }
}

async function stop(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}
