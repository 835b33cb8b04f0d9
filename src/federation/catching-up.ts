import type { PeerId } from '@libp2p/interface'
import { errorCode, errorMessage } from '../lib/index.ts'
import type { Network } from '../network/index.ts'
import type { Logger } from '../observability/index.ts'
import { claimedRound } from './certificate.ts'
import type { Chain } from './chain.ts'
import type { Run } from './specification.ts'
import { syncProtocol } from './wire.ts'

export interface CatchingUpInit {
  readonly run: Run
  readonly chain: Chain
  readonly over: AbortSignal
  /** Takes the next certificate. @throws RejectedError what is wrong with it */
  readonly adopt: (certificate: Uint8Array) => void
  /** @throws RejectedError */
  readonly onEvaluation: (document: Uint8Array) => void
  /** The owner's word that the peer knows. @throws RejectedError */
  readonly onControl: (document: Uint8Array) => void
  /** A peer has no more to tell. */
  readonly onDone: () => void
}

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
          if (claimedRound(bytes) === chain.head.round + 1) adopt(bytes)
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
}
