import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import * as assert from 'uvu/assert'
import { createControlClient, type PeerStatus, socketPathFor } from '../../src/control/index.ts'
import { makeNamespace } from '../namespace.ts'
import { shell, startShell, temporaryFolder, until } from '../processes.ts'
import { suite } from '../suite.ts'

/**
 * Follows a page word for word, as a reader would: every `sh` block, line by line, in the checkout, with a fresh home and
 * in a network namespace of its own, so that the pages' ports are free and default settings (mDNS, all addresses) stay
 * inside. What keeps running is left running, as in a terminal of its own, until the page stops it.
 */
const test = suite('documents')
const root = resolve(import.meta.dirname, '../..')
/** The tests have installed the packages already. */
const skipped = /^npm ci$/
const keepsRunning = /^npx owm (peer|bootstrap) start/

async function follow(page: string, inside: readonly string[]): Promise<string> {
  const home = temporaryFolder()
  await mkdir(join(home, '.owm'), { mode: 0o700 })
  const options = { cwd: root, inside, env: { HOME: home, OWM_NETWORK_MDNS: 'true' } }
  let variables = ''
  let output = ''
  for (const line of commandsOf(page)) {
    if (skipped.test(line)) continue
    if (keepsRunning.test(line)) {
      const running = startShell(line, options)
      const dataDir = /--data-dir ~\/(\S+)/.exec(line)?.[1] ?? '.owm'
      const control = createControlClient(socketPathFor(join(home, dataDir)))
      await until(async () => {
        if (running.exitCode !== null) throw new Error(`${page}: ${line} ended: ${running.output()}`)
        return (await control.call<PeerStatus>('status').catch(() => undefined))?.ready === true
      }, 30_000)
      continue
    }
    if (/^[A-Z]+=/.test(line)) {
      variables += `${line}\n`
      continue
    }
    // A reader takes some seconds between commands; the next one is tried until what it shows is there.
    let done = await shell(`${variables}${line}`, options)
    const expected = patienceFor(line)
    await until(async () => {
      if (expected === undefined || expected.test(done.stdout)) return true
      done = await shell(`${variables}${line}`, options)
      return false
    }, 90_000)
    assert.is(done.code, 0, `${page}: ${line}\n${done.stdout}${done.stderr}`)
    output += `$ ${line}\n${done.stdout}`
  }
  return output
}

/** What a command shows once the peers have met, or the run has finished. */
function patienceFor(line: string): RegExp | undefined {
  if (line === 'npx owm run show owm-notes') return /finished/
  if (line.startsWith('npx owm peer peers --data-dir')) return /inbound|outbound/
  return undefined
}

function commandsOf(page: string): string[] {
  const blocks = readFileSync(join(root, page), 'utf8').matchAll(/^```sh\n([\s\S]*?)^```/gm)
  return [...blocks]
    .flatMap(([, block]) => (block ?? '').split('\n'))
    .filter((line) => line !== '' && !line.startsWith('#'))
}

const pages: readonly (readonly [page: string, expected: readonly RegExp[]])[] = [
  ['docs/node-setup.md', [/"ready":true/, /owm-notes {2}finished, round 3 of 3/, /The peer/]],
  ['docs/bootstrap-operators.md', [/\/dns4\/seed\.example\.org\/tcp\/4242\/p2p\/12D3KooW/]],
  ['docs/data.md', [/kind +text, /, /1024 tokens, learned from/]],
  ['docs/train-locally.md', [/nothing was kept/]],
  ['docs/private-mesh.md', [/\* +lab +private/, /outbound|inbound/]],
]
for (const [page, expected] of pages) {
  const namespace = makeNamespace(`docs${pages.findIndex(([name]) => name === page)}`)
  if (namespace === undefined) {
    test.skip(page, 'network namespaces are not permitted here, or iproute2 is missing')
    continue
  }
  test(
    page,
    async () => {
      const output = await follow(page, namespace.inside)
      for (const pattern of expected) assert.match(output, pattern)
      namespace.remove()
    },
    { timeoutMs: 200_000 },
  )
}

test.run()
