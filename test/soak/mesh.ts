/**
 * The soak: `npx node test/soak/mesh.ts [--peers 30] [--minutes 10]`. Real peer processes on loopback form one mesh and must
 * stay one; then a third of them are killed with SIGKILL and started again, and the time until all is whole is measured.
 * Whole: every peer knows the live manifest of every other, and the connections make one connected graph. Prints one JSON
 * line; exit code 1 when the mesh was ever not whole for longer than a look, or did not heal within 30 s.
 */
import { createServer } from 'node:net'
import { parseArgs } from 'node:util'
import type { PeerRow } from '../../src/control/index.ts'
import { owm, type RunningPeer, startPeer, temporaryFolder } from '../processes.ts'

const lookEveryMs = 10_000
const healLimitMs = 30_000
/** Node processes that start at once on two cores starve each other. */
const startsAtOnce = 4

const { values } = parseArgs({
  options: { peers: { type: 'string', default: '30' }, minutes: { type: 'string', default: '10' } },
})
const count = Number(values.peers)
const minutes = Number(values.minutes)
const say = (line: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`)

interface Seat {
  readonly dataDir: string
  readonly port: number
  id: string
  peer: RunningPeer
}

const first = temporaryFolder()
await owm(['mesh', 'create', 'soak', '--data-dir', first])
const invitation = (await owm(['mesh', 'invite', '--no-qr', '--data-dir', first])).stdout.trim()
const seats: Seat[] = []
process.on('SIGINT', () => process.exit(130))

const startSeat = async (dataDir: string, port: number): Promise<RunningPeer> =>
  startPeer({
    dataDir,
    env: {
      OWM_NETWORK_LISTEN: `/ip4/127.0.0.1/tcp/${port}`,
      OWM_NETWORK_BOOTSTRAP: bootstrap(),
      OWM_LOG_LEVEL: 'warn',
    },
  })
const bootstrap = (): string =>
  seats
    .slice(0, 3)
    .map((seat) => `/ip4/127.0.0.1/tcp/${seat.port}/p2p/${seat.id}`)
    .join(',')
const sit = async (dataDir: string): Promise<void> => {
  const port = await freePort()
  const peer = await startSeat(dataDir, port)
  seats.push({ dataDir, port, peer, id: (await peer.status()).peer })
}

const startedMs = Date.now()
await sit(first)
const folders = Array.from({ length: count - 1 }, temporaryFolder)
await inTurns(folders, async (dataDir) => {
  await owm(['mesh', 'join', invitation, '--data-dir', dataDir])
  await sit(dataDir)
})
say(`${count} peers started`)
const formedMs = await wholeWithin(120_000, startedMs)
say(`whole after ${(formedMs / 1000).toFixed(1)} s`)

let looks = 0
let wholeLooks = 0
let rssMax = 0
const endMs = Date.now() + minutes * 60_000
while (Date.now() < endMs) {
  await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
  const seen = await look()
  looks++
  if (seen.whole) wholeLooks++
  else say(`not whole: ${seen.why}`)
  const rss = (await Promise.all(seats.map(({ peer }) => peer.status()))).map((status) => status.rssBytes)
  rssMax = Math.max(rssMax, ...rss)
  if (looks % 6 === 0) say(`${looks} looks, ${wholeLooks} whole, largest peer ${(rssMax / 1e6).toFixed(0)} MB`)
}

const victims = shuffled(seats).slice(0, Math.floor(count / 3))
say(`kill -9 of ${victims.length} peers`)
for (const seat of victims) seat.peer.signal('SIGKILL')
await Promise.all(victims.map((seat) => seat.peer.exited))
const killedMs = Date.now()
await Promise.all(
  victims.map(async (seat) => {
    seat.peer = await startSeat(seat.dataDir, seat.port)
  }),
)
const restartedMs = Date.now() - killedMs
const healedMs = await wholeWithin(healLimitMs * 2, killedMs)
say(
  `whole ${(healedMs / 1000).toFixed(1)} s after the kill, of which ${(restartedMs / 1000).toFixed(1)} s were starting the processes`,
)

const figures = {
  peers: count,
  minutes,
  formedSeconds: formedMs / 1000,
  looks,
  wholeLooks,
  rssMaxBytes: rssMax,
  killed: victims.length,
  restartSeconds: restartedMs / 1000,
  healedSeconds: healedMs / 1000,
}
await Promise.all(seats.map(({ peer }) => peer.stop()))
console.log(JSON.stringify(figures))
process.exit(wholeLooks === looks && healedMs <= healLimitMs ? 0 : 1)

async function look(): Promise<{ readonly whole: boolean; readonly why: string }> {
  const views = await Promise.all(
    seats.map(async ({ id, peer }) => ({ id, rows: await peer.call<PeerRow[]>('peers') })),
  )
  const lacking = views.filter(({ rows }) => rows.filter((row) => row.tier !== null).length < seats.length - 1)
  if (lacking.length > 0)
    return { whole: false, why: `${lacking.length} peers do not know all ${seats.length - 1} others` }
  const links = new Map(views.map(({ id, rows }) => [id, rows.filter((row) => row.connected).map((row) => row.peer)]))
  const reached = new Set<string>()
  const visit = (id: string): void => {
    if (reached.has(id)) return
    reached.add(id)
    for (const next of links.get(id) ?? []) visit(next)
  }
  visit(views[0]?.id ?? '')
  return {
    whole: reached.size === seats.length,
    why: `${reached.size} of ${seats.length} are connected with the first`,
  }
}

async function wholeWithin(limitMs: number, sinceMs: number): Promise<number> {
  const endMs = Date.now() + limitMs
  for (;;) {
    const seen = await look()
    if (seen.whole) return Date.now() - sinceMs
    if (Date.now() > endMs) throw new Error(`not whole after ${limitMs / 1000} s: ${seen.why}`)
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}

async function inTurns<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items]
  const worker = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await run(item)
  }
  await Promise.all(Array.from({ length: startsAtOnce }, worker))
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}
