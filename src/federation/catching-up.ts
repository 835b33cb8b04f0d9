import type { PeerId } from '@libp2p/interface'
import { errorCode, errorMessage } from '../lib/index.ts'
import type { Network } from '../network/index.ts'
import type { Logger } from '../observability/index.ts'
import { claimOf } from './certificate.ts'
import type { Chain } from './chain.ts'
import type { Run } from './specification.ts'
import { syncProtocol } from './wire.ts'

export interface CatchingUpInit {
  readonly run: Run
  readonly chain: Chain
  readonly over: AbortSignal
  /** Takes the next certificate. @throws RejectedError what is wrong with it */
  readonly adopt: (certificate: Uint8Array) => void
  /** The first certificate of the peer's chain that is not in ours. @throws RejectedError what is wrong with it */
  readonly onOther: (certificate: Uint8Array) => void
  /** @throws RejectedError */
  readonly onEvaluation: (document: Uint8Array) => void
  /** The owner's word that the peer knows. @throws RejectedError */
  readonly onControl: (document: Uint8Array) => void
  /** A peer has no more to tell. */
  readonly onDone: () => void
}

/** Twenty steps back are a million rounds, and a hundred pages forward more than any two chains have apart. */
const maxQuestions = 128

/** Gets the certificates after this peer's own from those who have them. Of each peer one question at a time. */
export class CatchingUp {
  readonly #network: Network
  readonly #logger: Logger
  readonly #init: CatchingUpInit
  readonly #underWay = new Set<string>()

  constructor({ network, logger }: { network: Network; logger: Logger }, init: CatchingUpInit) {
    this.#network = network
    this.#logger = logger
    this.#init = init
  }

  /** Asks a peer for the certificates after ours, until there are no more. Never throws. */
  async from(peer: PeerId): Promise<void> {
    const { run, chain, over: signal, adopt, onEvaluation, onControl, onDone } = this.#init
    const name = peer.toString()
    if (peer.equals(this.#network.self) || this.#underWay.has(name) || signal.aborted) return
    this.#underWay.add(name)
    try {
      for (let more = true; more; ) {
        const after = chain.head.round
        const request = { kind: 'certificates', run: run.cid, after } as const
        const response = await this.#network.request(peer, syncProtocol, request, { signal })
        for (const bytes of response.certificates) {
          // Another peer may have sent it in the meantime.
          if (claimOf(bytes).round === chain.head.round + 1 && !isElsewhere(chain, bytes)) adopt(bytes)
        }
        const first = response.certificates[0]
        if (first !== undefined && isElsewhere(chain, first)) {
          await this.#part(peer)
          break
        }
        for (const document of response.evaluations) onEvaluation(document)
        if (response.control !== null) onControl(response.control)
        more = chain.head.round > after && chain.head.round < response.round
      }
    } catch (error) {
      this.#logger.debug({ from: name, code: errorCode(error), error: errorMessage(error) }, 'could not catch up')
    } finally {
      this.#underWay.delete(name)
      if (!signal.aborted) onDone()
    }
  }

  /** Its chain is another than ours: finds out where they part. Never throws. */
  async other(peer: PeerId): Promise<void> {
    const { over: signal } = this.#init
    const name = peer.toString()
    if (peer.equals(this.#network.self) || this.#underWay.has(name) || signal.aborted) return
    this.#underWay.add(name)
    try {
      await this.#part(peer)
    } catch (error) {
      this.#logger.debug({ from: name, code: errorCode(error), error: errorMessage(error) }, 'could not compare chains')
    } finally {
      this.#underWay.delete(name)
    }
  }

  /** Goes back in steps that double until the chains are one, and on from there to the first certificate that differs. */
  async #part(peer: PeerId): Promise<void> {
    const { run, chain, over: signal, onOther } = this.#init
    let back = 1
    let after = Math.max(0, chain.head.round - back)
    for (let asked = 0; asked < maxQuestions; asked++) {
      const request = { kind: 'certificates', run: run.cid, after } as const
      const { certificates } = await this.#network.request(peer, syncProtocol, request, { signal })
      const differs = certificates.findIndex((bytes) => claimOf(bytes).id !== chain.idAt(claimOf(bytes).round))
      const other = certificates[differs]
      if (other === undefined) {
        after += certificates.length
        if (certificates.length === 0 || after >= chain.head.round) return
        continue
      }
      const { round, previous } = claimOf(other)
      if (chain.idAt(round - 1) === previous) {
        if (round <= chain.head.round) onOther(other)
        return
      }
      if (after === 0) return
      back *= 2
      after = Math.max(0, after - back)
    }
  }
}

/** Whether a certificate for the next round hangs on another one than ours. */
function isElsewhere(chain: Chain, bytes: Uint8Array): boolean {
  const { round, previous } = claimOf(bytes)
  return round === chain.head.round + 1 && previous !== chain.head.id
}
