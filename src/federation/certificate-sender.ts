import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Clock, errorCode } from '../lib/index.ts'
import type { Network } from '../network/index.ts'
import type { Logger } from '../observability/index.ts'
import type { Chain } from './chain.ts'
import type { Journal } from './journal.ts'
import type { Run } from './specification.ts'
import { agreeProtocol } from './wire.ts'

/** A peer that is behind is sent a certificate no more often. */
const helpMs = 400
/** Peers of which the last help is remembered; the oldest is forgotten first. */
const maxHelped = 1024

interface Components {
  readonly network: Network
  readonly journal: Journal
  readonly clock: Clock
  readonly logger: Logger
}

/** Sends certificates of a run to those who lack them. */
export class CertificateSender {
  readonly #components: Components
  readonly #run: Run
  readonly #chain: Chain
  readonly #over: AbortSignal
  readonly #helpedMs = new Map<string, number>()

  constructor(components: Components, run: Run, chain: Chain, over: AbortSignal) {
    this.#components = components
    this.#run = run
    this.#chain = chain
    this.#over = over
  }

  /** A peer that is still at a round that is over gets its certificate. */
  help(peer: PeerId, round: number): void {
    const nowMs = this.#components.clock.now()
    const last = this.#chain.last()
    // Votes cross the certificate on the way: their senders are about to certify by themselves.
    if (round === last?.round && Math.abs(nowMs - last.certifiedMs) < helpMs) return
    const name = peer.toString()
    if (Math.abs(nowMs - (this.#helpedMs.get(name) ?? 0)) < helpMs) return
    this.#helpedMs.delete(name)
    this.#helpedMs.set(name, nowMs)
    if (this.#helpedMs.size > maxHelped) this.#helpedMs.delete(this.#helpedMs.keys().next().value ?? '')
    const stored = this.#components.journal.certificates(this.#run.id, round - 1, 1)[0]
    if (stored?.round === round) this.send(name, round, stored.bytes)
  }

  send(peer: string, round: number, certificate: Uint8Array): void {
    const { network, logger } = this.#components
    const id = peerIdFromString(peer)
    if (id.equals(network.self) || !network.isConnected(id)) return
    const request = { run: this.#run.cid, round, attempt: 0, kind: 'certificate', certificate } as const
    network.request(id, agreeProtocol, request, { signal: this.#over }).catch((error) => {
      logger.debug({ peer, round, code: errorCode(error) }, 'certificate not delivered')
    })
  }
}
