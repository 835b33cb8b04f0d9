import { mkdir } from 'node:fs/promises'
import type { Command } from 'commander'
import { createControlClient, type PeerStatus, socketPathFor } from '../control/index.ts'
import { OwmError } from '../lib/index.ts'
import {
  createMeshStore,
  createPrivateMesh,
  decodeInvitation,
  encodeInvitation,
  invitationQr,
  type MeshStore,
  publicMesh,
  type StoredMesh,
} from '../network/index.ts'
import { readSettings, type SettingsOptions, withSettings } from './settings.ts'
import { createTerminal, table } from './terminal.ts'

interface CreateOptions extends SettingsOptions {
  readonly faults: 'crash' | 'byzantine'
}
interface InviteOptions extends SettingsOptions {
  readonly address?: readonly string[]
  readonly qr: boolean
}

export function registerMesh(program: Command): void {
  const mesh = program.command('mesh').description('private meshes: make one, invite to it, join one')

  withSettings(
    mesh
      .command('create')
      .description('make a private mesh with a key of its own; a peer started from now on is in it'),
  )
    .argument('<name>', 'what people call it')
    .option('--faults <model>', 'what its runs assume: crash (members may die) or byzantine (some may lie)', 'crash')
    .addHelpText(
      'after',
      `
The key is kept in the data directory, mode 0600. Nobody without it can complete a connection.

  owm mesh create lab
  owm peer start
  owm mesh invite lab`,
    )
    .action(async (name: string, options: CreateOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      if (options.faults !== 'crash' && options.faults !== 'byzantine') {
        throw new OwmError('bad_usage', `--faults takes crash or byzantine, not ${String(options.faults)}.`)
      }
      const store = await meshes(options)
      const { id } = await store.add(createPrivateMesh({ name, createdMs: Date.now(), faults: options.faults }))
      await store.setDefault(id)
      terminal.result({ id, name, private: true }, () =>
        [
          `made the mesh ${name} (${id})`,
          'start a peer of it with: owm peer start',
          `then invite others with: owm mesh invite ${name}`,
        ].join('\n'),
      )
    })

  withSettings(
    mesh.command('invite').description('print an invitation: one string, and a QR code; whoever has it can join'),
  )
    .argument('[mesh]', 'name or id (default: the mesh a peer would start in)')
    .option('--address <multiaddr...>', 'addresses to meet the mesh by (default: those of the running peer)')
    .option('--no-qr', 'print the string alone')
    .action(async (name: string | undefined, options: InviteOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const found = await find(await meshes(options), name)
      const addresses = options.address ?? (await addressesOfRunningPeer(options, found.id)) ?? found.addresses
      if (addresses.length === 0) {
        terminal.say(
          'This invitation carries no address: the other will find the mesh on the same local network alone.',
        )
        terminal.say('Start a peer of the mesh first (owm peer start), or give --address.')
      }
      const invitation = encodeInvitation({ ...found, addresses })
      terminal.result({ invitation, mesh: found.id, addresses }, () =>
        options.qr ? `${invitationQr(invitation)}\n${invitation}` : invitation,
      )
      terminal.say('It holds the key of the mesh: give it only to whom you want in.')
    })

  withSettings(mesh.command('join').description('join the mesh of an invitation; a peer started from now on is in it'))
    .argument('<invitation>', 'the string that begins with owm:')
    .action(async (invitation: string, options: SettingsOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const store = await meshes(options)
      const joined = await store.add(decodeInvitation(invitation))
      await store.setDefault(joined.id)
      const { id, parameters, addresses } = joined
      terminal.result({ id, name: parameters.name, private: parameters.private, addresses }, () =>
        [`joined the mesh ${parameters.name} (${id})`, 'start a peer of it with: owm peer start'].join('\n'),
      )
    })

  withSettings(mesh.command('list').description('the meshes this data directory knows')).action(
    async (options: SettingsOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const known: StoredMesh[] = await (await meshes(options)).list()
      const open = await publicMesh()
      const rows = [{ ...open, isDefault: !known.some((one) => one.isDefault) }, ...known].map((one) => ({
        id: one.id,
        name: one.parameters.name,
        private: one.parameters.private,
        default: one.isDefault,
        addresses: one.addresses,
      }))
      terminal.result(rows, () =>
        table([
          ['', 'name', 'kind', 'addresses', 'id'],
          ...rows.map((row) => [
            row.default ? '*' : '',
            row.name,
            row.private ? 'private' : 'public',
            String(row.addresses.length),
            row.id,
          ]),
        ]),
      )
    },
  )
}

async function meshes(options: SettingsOptions): Promise<MeshStore> {
  const { dataDir } = readSettings(options).peer
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  return createMeshStore(dataDir)
}

async function find(store: MeshStore, name: string | undefined): Promise<StoredMesh> {
  if (name !== undefined) return store.get(name)
  const chosen = await store.getDefault()
  if (chosen === undefined) {
    throw new OwmError('bad_usage', 'There is no private mesh here; make one with: owm mesh create NAME')
  }
  return chosen
}

/** The addresses of this machine's peer when it runs in that mesh: others can meet the mesh there. */
async function addressesOfRunningPeer(options: SettingsOptions, mesh: string): Promise<readonly string[] | undefined> {
  const control = createControlClient(socketPathFor(readSettings(options).peer.dataDir))
  const status = await control.call<PeerStatus>('status').catch(() => undefined)
  if (status?.mesh !== mesh) return undefined
  // Loopback leads to the reader's own machine; it is of use only where there is nothing else.
  const reachable = status.addresses.filter((address) => !/^\/(ip4\/127\.|ip6\/::1\/)/.test(address))
  return reachable.length > 0 ? reachable : status.addresses
}
