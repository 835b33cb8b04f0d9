/** One peer of the benchmark `rounds` in a process of its own, led over IPC. Its trainer is a sleep of `trainMs`. */
import { multiaddr } from '@multiformats/multiaddr'
import { specificationFor, startPeer } from '../../federation/mesh.ts'

const [dataDir = '', weights = '1000', trainMs = '100'] = process.argv.slice(2)
const peer = await startPeer({ dataDir, weights: Number(weights), trainMs: Number(trainMs) })
const tell = (message: object): void => void process.send?.(message)

peer.federation.onEvent((event) => {
  if (event.type !== 'train-progress') tell({ type: 'event', event })
})
process.on('message', async (message: { connect?: string[]; run?: { roster: string[]; rounds: number } }) => {
  for (const address of message.connect ?? []) await peer.network.connect(multiaddr(address))
  if (message.connect !== undefined) tell({ type: 'connected' })
  if (message.run !== undefined) {
    const { roster, rounds } = message.run
    const members = roster.map((name) => ({ name }))
    const change = { rounds, minimumTrainers: Math.min(2, roster.length), localMs: Number(trainMs) }
    await peer.federation.createRun(await specificationFor(peer, members, change, Number(weights)))
  }
})
process.on('disconnect', () => process.exit())
tell({ type: 'ready', name: peer.name, addresses: peer.network.addresses().map((address) => address.toString()) })
