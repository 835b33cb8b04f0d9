import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import * as assert from 'uvu/assert'
import { errorMessage } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import { until } from './harness.ts'

const test = suite('mdns')
/** No multicast may leave this test: everything runs in a network namespace of its own, with both ends of one cable. */
const namespace = `owm-mdns-${process.pid}`
const ip = (...parameters: string[]): void => void execFileSync('ip', parameters, { stdio: 'pipe' })
const inside = (...parameters: string[]): void => ip('netns', 'exec', namespace, 'ip', ...parameters)

function createNamespace(): string | undefined {
  try {
    ip('netns', 'add', namespace)
  } catch (error) {
    return errorMessage(error).split('\n').at(-1) || 'no iproute2'
  }
  try {
    inside('link', 'set', 'lo', 'up')
    inside('link', 'add', 'owm0', 'type', 'veth', 'peer', 'name', 'owm1')
    inside('addr', 'add', '10.99.0.1/24', 'dev', 'owm0')
    // multicast-dns leaves the choice of the interface to the routing table.
    for (const end of ['owm0', 'owm1']) inside('link', 'set', end, 'up', 'multicast', 'on')
    inside('route', 'add', 'default', 'dev', 'owm0')
    return undefined
  } catch (error) {
    ip('netns', 'del', namespace)
    return errorMessage(error)
  }
}

const children: ChildProcess[] = []
interface Spawned {
  readonly lines: string[]
  self(): string
}
function spawnPeer(mesh: string): Spawned {
  const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, 'test/network/mdns-peer.ts', mesh], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  children.push(child)
  const lines: string[] = []
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
  })
  return { lines, self: () => lines.find((line) => line.startsWith('self '))?.slice(5) ?? '' }
}

const title = 'two peers of one mesh find each other by mDNS alone, and one of another mesh is not seen'
const obstacle = createNamespace()
if (obstacle !== undefined) test.skip(title, `no network namespace can be made here: ${obstacle}`)
else {
  test(title, async () => {
    const [a, other] = [spawnPeer('one'), spawnPeer('other')]
    await until(() => a.self() !== '' && other.self() !== '')
    const b = spawnPeer('one')
    await until(() => a.lines.includes(`connected ${b.self()}`) && b.lines.includes(`connected ${a.self()}`))
    assert.not(other.lines.some((line) => line.startsWith('connected')))
    assert.not([...a.lines, ...b.lines].includes(`connected ${other.self()}`))
  })
  test.after(async () => {
    await Promise.all(
      children.map(
        (child) =>
          new Promise<void>((resolve) => {
            child.once('exit', () => resolve())
            child.stdin?.end()
          }),
      ),
    )
    ip('netns', 'del', namespace)
  })
}

test.run()
