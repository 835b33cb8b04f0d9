import { execFile } from 'node:child_process'
import { access, stat } from 'node:fs/promises'
import { BlockList, connect, createServer } from 'node:net'
import { availableParallelism, freemem, networkInterfaces, totalmem } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { multiaddr } from '@multiformats/multiaddr'
import { type Config, checkDataDir, hostAndPortOf } from '../config/index.ts'
import { createControlClient, type PeerStatus, socketPathFor } from '../control/index.ts'
import { loadOrCreateIdentity } from '../identity/index.ts'
import { errorMessage, formatBytes } from '../lib/index.ts'
import { detectHardware } from '../manifests/index.ts'
import { createMeshStore, publicMesh } from '../network/index.ts'
import { probeRuntime } from '../onnx/index.ts'

export interface Finding {
  readonly check: string
  /** `fail`: a peer cannot run; `warn`: it runs, and something is less than it could be. */
  readonly state: 'ok' | 'warn' | 'fail'
  readonly found: string
  readonly mend?: string
}

const wantedFreeBytes = 1024 ** 3
const neededFreeBytes = 256 * 1024 ** 2
const wantedMemoryBytes = 512 * 1024 ** 2
const dialTimeoutMs = 3_000
const hardwareTimeoutMs = 5_000
const commandTimeoutMs = 2_000
/** No clock that is right shows less: this was written after it. */
const writtenMs = Date.parse('2026-11-20T00:00:00Z')

/** Every check by itself, at once; one that throws is a finding too. */
export async function examine(config: Config): Promise<Finding[]> {
  const control = createControlClient(socketPathFor(config.peer.dataDir))
  const running = await control.call<PeerStatus>('status').catch(() => undefined)
  const checks: readonly (readonly [string, () => Promise<Omit<Finding, 'check'> | Omit<Finding, 'check'>[]>])[] = [
    ['peer', async () => peerFinding(running)],
    ['config', async () => ok(config.file === null ? 'no owm.toml: safe defaults' : `${config.file} is valid`)],
    ['data', () => dataFinding(config.peer.dataDir)],
    ['disk', () => diskFinding(config.peer.dataDir)],
    ['identity', () => identityFinding(config.peer.dataDir)],
    ['clock', clockFinding],
    ['memory', async () => memoryFinding()],
    ['ports', () => portFindings(config, running)],
    ['bootstrap', () => bootstrapFindings(config)],
    ['nat', async () => natFinding(running)],
    ['gpu', gpuFinding],
    ['onnxruntime', runtimeFinding],
    ['training', () => trainingFinding(config)],
  ]
  const found = await Promise.all(
    checks.map(async ([check, look]) => {
      const findings = await look().catch((error) => fail(errorMessage(error)))
      return [findings].flat().map((finding) => ({ check, ...finding }))
    }),
  )
  return found.flat()
}

type Found = Omit<Finding, 'check'>
const ok = (found: string): Found => ({ state: 'ok', found })
const warn = (found: string, mend: string): Found => ({ state: 'warn', found, mend })
const fail = (found: string, mend?: string): Found => ({
  state: 'fail',
  found,
  ...(mend === undefined ? {} : { mend }),
})

function peerFinding(running: PeerStatus | undefined): Found {
  if (running === undefined) return ok('none runs on this data directory')
  return running.ready
    ? ok(`runs, ${running.peers} peers connected`)
    : warn(`runs and is not ready: ${running.reasons.join(' ')}`, 'owm peer status')
}

async function dataFinding(path: string): Promise<Found> {
  const { exists, writable, locked, holder } = await checkDataDir(path)
  if (!writable)
    return fail(`${path} cannot be written`, 'give yourself write permission, or choose another with --data-dir')
  if (locked) return ok(`${path}, in use by the peer with pid ${holder?.pid ?? 'unknown'}`)
  return ok(exists ? path : `${path} will be made on the first start`)
}

async function diskFinding(path: string): Promise<Found> {
  const { freeBytes } = await checkDataDir(path)
  const found = `${formatBytes(freeBytes)} free`
  if (freeBytes < neededFreeBytes)
    return fail(
      found,
      `free some space, or put the data directory on another disk; ${formatBytes(neededFreeBytes)} are needed`,
    )
  return freeBytes < wantedFreeBytes ? warn(found, 'models and updates take room; make some') : ok(found)
}

async function identityFinding(dataDir: string): Promise<Found> {
  const path = join(dataDir, 'identity.key')
  const there = await access(path).then(
    () => true,
    () => false,
  )
  if (!there) return ok('will be made on the first start')
  const { identity } = await loadOrCreateIdentity(path)
  return ok(identity.peerId.toString())
}

/** Manifests carry times: a peer whose clock is off by minutes is not believed. */
async function clockFinding(): Promise<Found> {
  const now = new Date()
  if (now.getTime() < writtenMs)
    return fail(
      `shows ${now.toISOString()}, before this program was written`,
      'set the clock: timedatectl set-ntp true',
    )
  const synchronised = await promisify(execFile)('timedatectl', ['show', '-p', 'NTPSynchronized', '--value'], {
    timeout: commandTimeoutMs,
  }).then(
    ({ stdout }) => stdout.trim(),
    () => 'unknown',
  )
  if (synchronised === 'no') return warn(`${now.toISOString()}, not synchronised`, 'timedatectl set-ntp true')
  return ok(`${now.toISOString()}${synchronised === 'yes' ? ', synchronised' : ''}`)
}

function memoryFinding(): Found {
  const found = `${formatBytes(freemem())} of ${formatBytes(totalmem())} free, ${availableParallelism()} cores`
  return freemem() < wantedMemoryBytes
    ? warn(found, 'an idle peer takes 150 MB, one that trains several times that')
    : ok(found)
}

async function portFindings(config: Config, running: PeerStatus | undefined): Promise<Found[]> {
  if (running !== undefined) return [ok(`listens on ${running.addresses.join(', ')} and http://${running.http}`)]
  const http = hostAndPortOf(config.http.listen)
  const wanted = [
    ...config.network.listen.flatMap((address) => {
      const { host, port } = tcpOf(address)
      return port === 0 ? [] : [{ name: 'network.listen' as const, host, port }]
    }),
    ...(http === undefined || http.port === 0 ? [] : [{ name: 'http.listen' as const, ...http }]),
  ]
  if (wanted.length === 0) return [ok('the system will give free ones')]
  return Promise.all(
    wanted.map(async ({ name, host, port }) => {
      const problem = await listenProblem(host, port)
      if (problem === undefined) return ok(`${host}:${port} is free`)
      if (config.sources[name].from === 'default')
        return warn(`${host}:${port} is taken (${problem})`, 'a free port will be used instead')
      return fail(
        `${host}:${port} cannot be used (${problem})`,
        `choose another in ${name}, or stop what uses it: ss -ltnp | grep :${port}`,
      )
    }),
  )
}

async function bootstrapFindings(config: Config): Promise<Found[]> {
  const store = createMeshStore(config.peer.dataDir)
  const chosen =
    config.peer.mesh === ''
      ? await store.getDefault()
      : config.peer.mesh === 'public'
        ? undefined
        : await store.get(config.peer.mesh)
  const mesh = chosen ?? (await publicMesh())
  const addresses = [...new Set([...mesh.addresses, ...config.network.bootstrap])]
  if (addresses.length === 0) {
    return [
      warn(
        `mesh ${mesh.parameters.name}: no bootstrap peers known`,
        'peers on this local network are found all the same; else set [network] bootstrap',
      ),
    ]
  }
  return Promise.all(
    addresses.map(async (address) => {
      const { host, port } = tcpOf(address)
      const problem = await dialProblem(host, port)
      return problem === undefined
        ? ok(`${host}:${port} answers`)
        : warn(`${host}:${port}: ${problem}`, 'is that peer up, and does a firewall let you out?')
    }),
  )
}

function natFinding(running: PeerStatus | undefined): Found {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const open = own.filter((address) => !address.internal && isPublic(address.address)).map((address) => address.address)
  const relayed = running?.addresses.filter((address) => address.includes('/p2p-circuit')) ?? []
  if (open.length > 0) return ok(`this machine has the public address ${open[0]}`)
  if (relayed.length > 0) return ok('behind a NAT, reachable through a relay')
  return warn(
    'no public address: behind a NAT, or on a network of your own',
    'peers elsewhere reach you through relays; a forwarded port 4242 makes it direct',
  )
}

async function gpuFinding(): Promise<Found> {
  const { gpus } = await detectHardware(AbortSignal.timeout(hardwareTimeoutMs))
  return ok(
    gpus.length === 0
      ? 'none: the peer works on the CPU, which is welcome'
      : gpus.map((gpu) => `${gpu.name} ${formatBytes(gpu.vramBytes)}`).join(', '),
  )
}

async function runtimeFinding(): Promise<Found> {
  const { version, providers } = await probeRuntime()
  return ok(`${version}, ${providers.join(' ')}: computes as it should`)
}

async function trainingFinding(config: Config): Promise<Found> {
  const { data, enabled } = config.training
  if (!enabled) return ok('switched off')
  if (data.length === 0)
    return warn('no text: the peer serves and votes, and does not train', 'set [training] data to folders of text')
  const missing = (
    await Promise.all(
      data.map((folder) =>
        stat(folder).then(
          (found) => (found.isDirectory() ? [] : [folder]),
          () => [folder],
        ),
      ),
    )
  ).flat()
  return missing.length === 0 ? ok(data.join(', ')) : fail(`no folder ${missing.join(', ')}`, 'mend [training] data')
}

function tcpOf(address: string): { readonly host: string; readonly port: number } {
  const parts = multiaddr(address).getComponents()
  return { host: parts[0]?.value ?? '', port: Number(parts.find((part) => part.name === 'tcp')?.value ?? 0) }
}

function listenProblem(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    probe.listen(port, host, () => probe.close(() => resolve(undefined)))
  })
}

function dialProblem(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: dialTimeoutMs })
    const done = (problem: string | undefined): void => {
      socket.destroy()
      resolve(problem)
    }
    socket.once('connect', () => done(undefined))
    socket.once('timeout', () => done(`no answer within ${dialTimeoutMs / 1000} s`))
    socket.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message))
  })
}

/** Addresses that lead nowhere from outside: private (RFC 1918, 6598, 4193), local (3927, 4291), for examples (5737, 3849). */
const unreachable = new BlockList()
for (const [net, prefix] of [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
] as const) {
  unreachable.addSubnet(net, prefix, 'ipv4')
}
for (const [net, prefix] of [
  ['::', 127],
  ['2001:db8::', 32],
  ['fc00::', 7],
  ['fe80::', 10],
] as const) {
  unreachable.addSubnet(net, prefix, 'ipv6')
}

function isPublic(address: string): boolean {
  return !unreachable.check(address, address.includes(':') ? 'ipv6' : 'ipv4')
}
