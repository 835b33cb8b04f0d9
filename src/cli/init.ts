import { access } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { loadOrCreateIdentity } from '../identity/index.ts'
import { writeFileAtomic } from '../lib/index.ts'
import { detectHardware, tierOf } from '../manifests/index.ts'
import { readSettings, type SettingsOptions, withSettings } from './settings.ts'
import { createTerminal } from './terminal.ts'

const hardwareTimeoutMs = 5_000

export function registerInit(program: Command): void {
  withSettings(
    program
      .command('init')
      .description('make an identity and a configuration to start from, and say what this machine can do')
      .addHelpText(
        'after',
        '\nNothing that exists is overwritten. A peer needs no init: its first start does as much by itself.',
      ),
  ).action(async (options: SettingsOptions) => {
    const terminal = createTerminal({ json: options.json === true })
    const config = readSettings(options)
    const { renderExample, openDataDir } = await import('../config/index.ts')
    const dataDir = await openDataDir(config.peer.dataDir)
    try {
      const { identity, created } = await loadOrCreateIdentity(join(dataDir.path, 'identity.key'))
      const configFile = join(dataDir.path, 'owm.toml')
      const hadConfig = await access(configFile).then(
        () => true,
        () => false,
      )
      if (!hadConfig) await writeFileAtomic(configFile, renderExample())
      const hardware = await detectHardware(AbortSignal.timeout(hardwareTimeoutMs))
      const tier = tierOf(
        hardware,
        undefined,
        config.peer.tierOverride === 'auto' ? undefined : config.peer.tierOverride,
      )
      const peer = identity.peerId.toString()
      terminal.result(
        {
          peer,
          dataDir: dataDir.path,
          createdIdentity: created,
          config: configFile,
          createdConfig: !hadConfig,
          hardware,
          ...tier,
        },
        () =>
          [
            `peer      ${peer} (${created ? 'new' : 'kept'})`,
            `identity  ${join(dataDir.path, 'identity.key')}: whoever has this file is this peer; keep a copy where nobody reads it`,
            `config    ${configFile} (${hadConfig ? 'kept' : 'new'})`,
            `hardware  ${hardware.cores} cores, ${hardware.gpus.length} GPUs: tier ${tier.tier}${tier.cpuOnly ? ', CPU only, and welcome' : ''}`,
            '',
            'next      owm doctor, then owm peer start',
          ].join('\n'),
      )
    } finally {
      await dataDir.close()
    }
  })
}
