import type { Command } from 'commander'
import { type SettingsOptions, withSettings } from './settings.ts'

interface StartOptions extends SettingsOptions {
  readonly listen?: readonly string[]
  readonly announce?: readonly string[]
  readonly bootstrap?: readonly string[]
  readonly mesh?: string
  readonly http?: string
  readonly logLevel?: string
}

export function registerBootstrap(program: Command): void {
  const bootstrap = program.command('bootstrap').description('run a peer that helps others meet')
  withSettings(
    bootstrap
      .command('start')
      .description(
        'start a bootstrap peer: it seeds the DHT and relays for peers behind NAT, and trains and answers nothing',
      ),
  )
    .option('--mesh <name>', 'which mesh to serve: a name or id of owm mesh list, or public')
    .option('--listen <multiaddr...>', 'addresses to listen on, as /ip4/0.0.0.0/tcp/4242')
    .option('--announce <multiaddr...>', 'public addresses to tell others, where they differ from those listened on')
    .option('--bootstrap <multiaddr...>', 'other bootstrap peers of the mesh')
    .option('--http <host:port>', 'where to serve /health and /metrics')
    .option('--log-level <level>', 'debug, info, warn or error')
    .option('--until-stdin-closes', 'stop when standard input closes: for a program that starts a peer', false)
    .addHelpText(
      'after',
      `
It wants a public address and one open TCP port. docs/bootstrap-operators.md has the whole walk.

  owm bootstrap start --listen /ip4/0.0.0.0/tcp/4242 --announce /dns4/seed.example.org/tcp/4242`,
    )
    .action(async (options: StartOptions) => {
      const { runPeer } = await import('./run-peer.ts')
      await runPeer('bootstrap', options, {
        'network.listen': options.listen,
        'network.announce': options.announce,
        'network.bootstrap': options.bootstrap,
        'peer.mesh': options.mesh,
        'http.listen': options.http,
        'log.level': options.logLevel,
      })
    })
}
