/** In-memory twins of the rooms below the gateway, with handles to make things happen. */
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { CheckpointView, Federation, FederationEvent, RoundView, RunView } from '../../src/federation/index.ts'
import type { Answerer, AnswerModel, GatewayComponents } from '../../src/gateway/index.ts'
import type { GenerateOptions } from '../../src/inference/index.ts'
import { cidOf, createEmitter, encode, OwmError } from '../../src/lib/index.ts'
import type { ManifestEvent, Manifests, ManifestView } from '../../src/manifests/index.ts'
import type { ConnectedPeer, Network, PeerEvent } from '../../src/network/index.ts'

export async function peerNumber(n: number): Promise<PeerId> {
  const seed = new Uint8Array(32)
  new DataView(seed.buffer).setUint32(0, n + 1)
  return peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', seed))
}

export function cidNumber(n: number): string {
  return cidOf(encode({ n })).toString()
}

export interface FederationTwin extends Pick<Federation, 'runs' | 'checkpoints' | 'onEvent'> {
  current: RunView[]
  emit(event: FederationEvent): void
}

export function createFederationTwin(): FederationTwin {
  const events = createEmitter<FederationEvent>()
  const twin: FederationTwin = {
    current: [],
    runs: () => twin.current,
    checkpoints: () =>
      twin.current.flatMap((run) => {
        const newest = run.rounds.at(-1)
        return newest === undefined ? [] : [checkpointOf(run, newest)]
      }),
    onEvent: events.on,
    emit: events.emit,
  }
  return twin
}

function checkpointOf(run: RunView, round: RoundView): CheckpointView {
  const block = cidOf(encode({ weights: round.round }))
  return {
    run: run.id,
    name: run.name,
    round: round.round,
    checkpoint: round.checkpoint,
    weights: block,
    graph: block,
    fields: [{ name: 'windows', type: 'int32', shape: [65], values: 256 }],
    model: { context: 64, vocabulary: 256 },
    signatures: round.signatures,
    certifiedMs: round.certifiedMs,
  }
}

export function makeRun(change: Partial<RunView> = {}): RunView {
  return {
    id: cidNumber(1000),
    name: 'owm-code',
    owner: 'owner',
    status: 'training',
    totalRounds: 8,
    round: 1,
    phase: 'training',
    leader: null,
    committee: [],
    roster: [],
    rounds: [],
    initialLoss: 8.02,
    unit: 'bits/byte',
    parameters: 131_072,
    observed: [],
    specification: {},
    control: null,
    ...change,
  }
}

export function makeRound(round: number, change: Partial<RoundView> = {}): RoundView {
  return {
    round,
    attempt: 0,
    leader: 'leader',
    committee: ['leader', 'other'],
    trainers: ['leader', 'other'],
    updates: [cidNumber(2000 + round)],
    updateBytes: 20_000,
    samples: 64,
    signatures: 3,
    checkpoint: cidNumber(round),
    certificate: cidNumber(3000 + round),
    certifiedMs: 1_700_000_000_000 + round * 4000,
    seconds: 4.2,
    heldOutLoss: 8 - round,
    heldOutAccuracy: null,
    ...change,
  }
}

export interface ManifestsTwin extends Pick<Manifests, 'view' | 'onChange'> {
  current: ManifestView[]
  emit(event: ManifestEvent): void
}

export function createManifestsTwin(): ManifestsTwin {
  const events = createEmitter<ManifestEvent>()
  const twin: ManifestsTwin = { current: [], view: () => twin.current, onChange: events.on, emit: events.emit }
  return twin
}

export function makeManifest(peer: PeerId, change: Partial<ManifestView> = {}): ManifestView {
  return {
    peer,
    sequence: 1,
    issuedMs: 1_700_000_000_000,
    expiresMs: 1_700_000_150_000,
    tier: 't1',
    cpuOnly: true,
    cores: 8,
    ramBytes: 16 * 2 ** 30,
    vramBytes: 0,
    upBitsPerSecond: 50_000_000,
    downBitsPerSecond: 200_000_000,
    capabilities: [{ name: 'inference', version: '1.0', priceMsat: 0 }],
    loadPermille: 250,
    models: [],
    addresses: ['/ip4/192.0.2.7/tcp/4001'],
    gateway: null,
    agent: 'owm/0.1.0',
    ...change,
  }
}

export interface NetworkTwin extends Pick<Network, 'self' | 'meshId' | 'peers' | 'traffic' | 'onPeer'> {
  current: ConnectedPeer[]
  emit(event: PeerEvent): void
}

export function createNetworkTwin(self: PeerId): NetworkTwin {
  const events = createEmitter<PeerEvent>()
  const twin: NetworkTwin = {
    self,
    meshId: 'c0ffee00c0ffee00c0ffee00',
    current: [],
    peers: () => twin.current,
    traffic: () => ({ sentBytes: 1234, receivedBytes: 5678 }),
    onPeer: events.on,
    emit: events.emit,
  }
  return twin
}

export function makeLink(id: PeerId, change: Partial<ConnectedPeer> = {}): ConnectedPeer {
  return {
    id,
    address: multiaddr(`/ip4/192.0.2.7/tcp/4001/p2p/${id}`),
    direction: 'outbound',
    relayed: false,
    latencyMs: 12,
    connectedSinceMs: 1_700_000_000_000,
    ...change,
  }
}

export interface AnswererTwin extends Answerer {
  current: AnswerModel[]
  /** What each answer says: a list of chunks, or a generator that is given the signal. */
  say: (prompt: Uint8Array, options: GenerateOptions) => AsyncIterable<Uint8Array>
  /** Every call, in order. */
  readonly calls: { readonly model: string; readonly prompt: string; readonly options: GenerateOptions }[]
}

export function createAnswererTwin(): AnswererTwin {
  const calls: AnswererTwin['calls'] = []
  const twin: AnswererTwin = {
    current: [makeModel()],
    calls,
    say: () => chunks('hello ', 'world'),
    models: () => twin.current,
    generate: async (model, prompt, options) => {
      calls.push({ model, prompt: new TextDecoder().decode(prompt), options })
      const found = twin.current.find((each) => each.id === model)
      if (found === undefined) throw new OwmError('model_not_found', 'No such model.')
      return { checkpoint: found.checkpoint, round: found.round, tokens: twin.say(prompt, options) }
    },
  }
  return twin
}

export function makeModel(change: Partial<AnswerModel> = {}): AnswerModel {
  return {
    id: 'owm-code',
    checkpoint: cidNumber(5),
    run: cidNumber(1000),
    round: 5,
    contextTokens: 64,
    certifiedMs: 1_700_000_020_000,
    signatures: 3,
    ...change,
  }
}

export async function* chunks(...parts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield typeof part === 'string' ? new TextEncoder().encode(part) : part
}

export type Health = ReturnType<GatewayComponents['health']>

export function makeHealth(change: Partial<Health> = {}): Health {
  return {
    ready: true,
    reasons: [],
    peer: 'peer',
    mesh: 'mesh',
    version: '0.1.0',
    startedMs: 1_700_000_000_000,
    peers: 2,
    diskFreeBytes: 10_000_000_000,
    lastRound: { run: cidNumber(1000), round: 5, certifiedMs: 1_700_000_020_000 },
    ...change,
  }
}
