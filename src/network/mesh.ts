import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { base32 } from 'multiformats/bases/base32'
import { z } from 'zod'
import { blake3Of, encode, errorMessage, OwmError } from '../lib/index.ts'

/** 256 bits, as libp2p's private networks have too. */
export const swarmKeyBytes = 32
/** 160 bits are 32 characters of base32: short enough for protocol ids, long enough that nobody finds a second mesh with the same id. */
const meshIdBytes = 20
const maxNameLength = 64
/** What an invitation or a peer list may carry. */
export const maxMeshAddresses = 16

export const meshParametersSchema = z.strictObject({
  v: z.literal(1),
  /** For people; two meshes may share a name. */
  name: z
    .string()
    .min(1)
    .max(maxNameLength)
    .regex(
      /^[\p{L}\p{N}](?:[\p{L}\p{N} ._-]*[\p{L}\p{N}])?$/u,
      'letters, digits, spaces, dots, dashes and underscores',
    ),
  createdMs: z.int().min(0),
  /** Whether connections need the swarm key. */
  private: z.boolean(),
  /** What runs of this mesh assume unless they say otherwise: peers that only crash, or peers that also lie. */
  faults: z.enum(['crash', 'byzantine']),
})

/** All that makes a mesh this one. Its canonical dag-cbor is hashed into the mesh id. */
export type MeshParameters = z.infer<typeof meshParametersSchema>

export interface Mesh {
  readonly id: string
  readonly parameters: MeshParameters
  /** Present exactly when the mesh is private. A secret: never logged, never sent but in an invitation. */
  readonly swarmKey: Uint8Array | null
  /** Where to find it: multiaddrs of a few peers, each with its `/p2p/`. */
  readonly addresses: readonly string[]
}

/** Base32 (RFC 4648, lower case, unpadded) of the first 20 bytes of BLAKE3 over the parameters' canonical dag-cbor. */
export function meshIdOf(parameters: MeshParameters): string {
  return base32.baseEncode(blake3Of(encode(parameters)).subarray(0, meshIdBytes))
}

/** @throws OwmError `bad_mesh` */
export function meshOf(parameters: unknown, swarmKey: Uint8Array | null, addresses: readonly string[] = []): Mesh {
  const parsed = meshParametersSchema.safeParse(parameters)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new OwmError('bad_mesh', `Bad mesh parameters: ${issue?.path.join('.') || 'parameters'}: ${issue?.message}.`)
  }
  if (parsed.data.private !== (swarmKey !== null)) {
    throw new OwmError('bad_mesh', 'A private mesh has a swarm key and a public one has none.')
  }
  if (swarmKey !== null && swarmKey.byteLength !== swarmKeyBytes) {
    throw new OwmError('bad_mesh', `A swarm key has ${swarmKeyBytes} bytes, not ${swarmKey.byteLength}.`)
  }
  if (addresses.length > maxMeshAddresses) {
    throw new OwmError('bad_mesh', `A mesh names at most ${maxMeshAddresses} addresses, not ${addresses.length}.`)
  }
  for (const address of addresses) checkPeerAddress(address)
  return { id: meshIdOf(parsed.data), parameters: parsed.data, swarmKey, addresses: [...addresses] }
}

/** A new private mesh with a fresh swarm key. Its id is new with its name and the moment of its making. */
export function createPrivateMesh(options: {
  readonly name: string
  readonly createdMs: number
  readonly faults?: MeshParameters['faults']
}): Mesh {
  const { name, createdMs, faults = 'crash' } = options
  return meshOf({ v: 1, name, createdMs, private: true, faults }, new Uint8Array(randomBytes(swarmKeyBytes)))
}

const publicFolder = new URL('../../bootstrap/public/', import.meta.url)
const peersSchema = z.strictObject({ peers: z.array(z.string()).max(maxMeshAddresses) })

/** The mesh that everybody is in who names no other; its parameters and first addresses are data in `bootstrap/public/`. */
export async function publicMesh(folder: URL = publicFolder): Promise<Mesh> {
  try {
    const [parameters, peers] = await Promise.all(
      ['parameters.json', 'peers.json'].map(async (name) => JSON.parse(await readFile(new URL(name, folder), 'utf8'))),
    )
    return meshOf(parameters, null, peersSchema.parse(peers).peers)
  } catch (cause) {
    throw new OwmError('bad_mesh', `The public mesh's data is unusable: ${errorMessage(cause)}`, {}, cause)
  }
}

/** @throws OwmError `bad_address` unless it is a multiaddr that ends in `/p2p/` and a peer id */
export function checkPeerAddress(address: string): void {
  try {
    if (multiaddr(address).getComponents().at(-1)?.name === 'p2p') return
  } catch (cause) {
    throw new OwmError('bad_address', `${address} is no multiaddr: ${errorMessage(cause)}`, { address }, cause)
  }
  throw new OwmError('bad_address', `${address} must end in /p2p/ and the peer's id.`, { address })
}
