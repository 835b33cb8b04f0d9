import type { Command } from 'commander'
import type { PeerRow, PeerStatus } from '../control/index.ts'
import { formatBytes } from '../lib/index.ts'
import { connectToPeer, type SettingsOptions, withSettings } from './settings.ts'
import { createTerminal, short, table } from './terminal.ts'

interface StartOptions extends SettingsOptions {
  readonly listen?: readonly string[]
  readonly bootstrap?: readonly string[]
  readonly mesh?: string
  readonly http?: string
  readonly gateway?: boolean
  readonly mdns: boolean
  readonly data?: readonly string[]
  readonly logLevel?: string
  readonly untilStdinCloses: boolean
}

export function registerPeer(program: Command): void {
  const peer = program.command('peer').description('run a peer of the mesh on this machine')
  withSettings(peer.command('start').description('start the peer; Ctrl-C stops it, a second one at once'))
    .option('--mesh <name>', 'which mesh to be in: a name or id of owm mesh list, or public')
    .option('--listen <multiaddr...>', 'addresses to listen on, as /ip4/0.0.0.0/tcp/4242')
    .option('--bootstrap <multiaddr...>', 'peers to meet the mesh by, each ending in /p2p/<peer id>')
    .option('--no-mdns', 'do not look for peers on the local network')
    .option('--http <host:port>', 'where to serve /health and /metrics, and the gateway')
    .option('--gateway', 'answer questions over HTTP')
    .option('--data <folder...>', 'train on the text below these folders; it never leaves this machine')
    .option('--log-level <level>', 'debug, info, warn or error')
    .option('--until-stdin-closes', 'stop when standard input closes: for a program that starts a peer', false)
    .addHelpText(
      'after',
      `
With nothing given the peer starts on safe defaults: the public mesh, data in ~/.owm, /health on 127.0.0.1:8080.
Every setting is in owm.toml.example; a flag wins over OWM_*, which wins over the file.`,
    )
    .action(async (options: StartOptions) => {
      const { runPeer } = await import('./run-peer.ts')
      await runPeer('peer', options, {
        'network.listen': options.listen,
        'network.bootstrap': options.bootstrap,
        'network.mdns': options.mdns ? undefined : false,
        'peer.mesh': options.mesh,
        'http.listen': options.http,
        'gateway.enabled': options.gateway,
        'training.data': options.data,
        'log.level': options.logLevel,
      })
    })

  withSettings(peer.command('status').description('what the running peer is and does')).action(
    async (options: SettingsOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const status = await connectToPeer(options).call<PeerStatus>('status')
      terminal.result(status, () => describe(status))
    },
  )

  withSettings(peer.command('peers').description('the peers that are connected or known to be live')).action(
    async (options: SettingsOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const rows = await connectToPeer(options).call<PeerRow[]>('peers')
      terminal.result(rows, () => (rows.length === 0 ? 'no peers yet' : list(rows)))
    },
  )

  withSettings(peer.command('stop').description('stop the running peer: running work finishes or times out')).action(
    async (options: SettingsOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const control = connectToPeer(options)
      const { pid } = await control.call<PeerStatus>('status')
      await control.call('stop')
      const { waitForExit } = await import('./run-peer.ts')
      await waitForExit(pid)
      terminal.result({ stopped: true }, () => 'stopped')
    },
  )
}

function describe(status: PeerStatus): string {
  const gpus = status.hardware.gpus.map((gpu) => `${gpu.name} ${formatBytes(gpu.vramBytes)}`).join(', ') || 'no GPU'
  const rows = [
    ['peer', status.peer],
    ['mesh', `${status.meshName} (${status.private ? 'private' : 'public'}, ${status.mesh})`],
    ['state', status.ready ? 'ready' : `not ready: ${status.reasons.join(' ')}`],
    ['up', `${status.uptimeSeconds} s, pid ${status.pid}, ${formatBytes(status.rssBytes)} of memory`],
    [
      'connected',
      `${status.peers} peers; ${formatBytes(status.traffic.sentBytes)} sent, ${formatBytes(status.traffic.receivedBytes)} received`,
    ],
    [
      'hardware',
      `tier ${status.tier}${status.cpuOnly ? ' (CPU only)' : ''}: ${status.hardware.cores} cores, ${formatBytes(status.hardware.ramBytes)}, ${gpus}`,
    ],
    ['http', `http://${status.http}${status.gateway ? ' (gateway)' : '/health'}`],
    ['training', status.trains ? 'takes part in rounds' : 'has no text: set [training] data to take part'],
    ...status.runs.map((run) => [
      'run',
      `${run.name}: ${run.status}, round ${Math.min(run.round, run.totalRounds)} of ${run.totalRounds}`,
    ]),
    ...status.models.map((model) => ['model', `${model.name}, round ${model.round}, checkpoint ${model.checkpoint}`]),
    ...status.addresses.map((address) => ['listens', address]),
  ]
  return table(rows)
}

function list(rows: readonly PeerRow[]): string {
  return table([
    ['peer', 'link', 'latency', 'tier', 'can', 'address'],
    ...rows.map((row) => [
      short(row.peer),
      row.connected ? `${row.direction}${row.relayed ? ', relayed' : ''}` : 'heard of',
      row.latencyMs === null ? '' : `${row.latencyMs.toFixed(1)} ms`,
      row.tier ?? '',
      row.capabilities.join(' '),
      row.address ?? '',
    ]),
  ])
}
