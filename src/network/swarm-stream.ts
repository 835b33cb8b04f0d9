import { createCipheriv, hkdfSync, randomBytes } from 'node:crypto'
import type { AbortOptions, MessageStream, MultiaddrConnection } from '@libp2p/interface'
import { AbstractMultiaddrConnection, byteStream } from '@libp2p/utils'

/** protocols/mesh, "Swarm key". */
const nonceBytes = 32
const keyBytes = 32
const counterBytes = 16
const info = 'owm:mesh/swarm-stream/1'

export type Side = 'outbound' | 'inbound'

/**
 * What one side sends with: an AES-256-CTR key and first counter block (NIST SP 800-38A), by HKDF-SHA-256 (RFC 5869)
 * from the swarm key and both nonces, the dialler's first. No two connections, and no two directions, share them.
 */
export function streamKey(
  swarmKey: Uint8Array,
  meshId: string,
  nonces: { readonly outbound: Uint8Array; readonly inbound: Uint8Array },
  sender: Side,
): { readonly key: Uint8Array; readonly counter: Uint8Array } {
  const salt = Buffer.concat([nonces.outbound, nonces.inbound])
  const derived = hkdfSync('sha256', swarmKey, salt, `${info}\0${meshId}\0${sender}`, keyBytes + counterBytes)
  return { key: new Uint8Array(derived, 0, keyBytes), counter: new Uint8Array(derived, keyBytes, counterBytes) }
}

/** Exchanges nonces, and gives the connection on which everything is under the swarm key from then on. */
export async function sealUnderSwarmKey(
  connection: MultiaddrConnection,
  swarmKey: Uint8Array,
  meshId: string,
  options: AbortOptions,
): Promise<MessageStream> {
  const own = new Uint8Array(randomBytes(nonceBytes))
  const bytes = byteStream(connection)
  const [read] = await Promise.all([bytes.read({ bytes: nonceBytes, ...options }), bytes.write(own, options)])
  const other = read.subarray()
  const dialled = connection.direction === 'outbound'
  const nonces = dialled ? { outbound: own, inbound: other } : { outbound: other, inbound: own }
  const cipher = (sender: Side) => {
    const { key, counter } = streamKey(swarmKey, meshId, nonces, sender)
    return createCipheriv('aes-256-ctr', key, counter)
  }
  return new SwarmStream(
    bytes.unwrap(),
    cipher(dialled ? 'outbound' : 'inbound'),
    cipher(dialled ? 'inbound' : 'outbound'),
  )
}

type Cipher = ReturnType<typeof createCipheriv>

/** A connection whose bytes pass a stream cipher both ways; everything else is the inner connection's. */
class SwarmStream extends AbstractMultiaddrConnection {
  readonly #inner: MultiaddrConnection
  readonly #sending: Cipher

  constructor(inner: MultiaddrConnection, sending: Cipher, receiving: Cipher) {
    super({ remoteAddr: inner.remoteAddr, direction: inner.direction, log: inner.log.newScope('swarm') })
    this.#inner = inner
    this.#sending = sending
    inner.addEventListener('message', ({ data }) => {
      for (const part of data instanceof Uint8Array ? [data] : data) this.onData(receiving.update(part))
    })
    inner.addEventListener('drain', () => this.onMuxerDrain())
    inner.addEventListener('close', ({ error, local }) => {
      if (error === undefined) this.onTransportClosed()
      else if (local === true) this.abort(error)
      else this.onRemoteReset()
    })
  }

  override sendData(data: Parameters<AbstractMultiaddrConnection['sendData']>[0]): {
    sentBytes: number
    canSendMore: boolean
  } {
    return { sentBytes: data.byteLength, canSendMore: this.#inner.send(this.#sending.update(data.subarray())) }
  }

  override async sendClose(options?: AbortOptions): Promise<void> {
    await this.#inner.close(options)
  }

  override sendReset(error: Error): void {
    this.#inner.abort(error)
  }

  override sendPause(): void {
    this.#inner.pause()
  }

  override sendResume(): void {
    this.#inner.resume()
  }
}
