import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { equalBytes, errorCode, errorMessage, OwmError, toHex, writeFileAtomic } from '../lib/index.ts'
import { type Mesh, meshOf } from './mesh.ts'

/** The meshes that this peer is in, beside the public one. One file each, mode 0600, for it holds the swarm key. */
export interface MeshStore {
  list(): Promise<StoredMesh[]>
  /** By id or name. @throws OwmError `unknown_mesh`, `ambiguous_mesh`, `corrupt_mesh` */
  get(idOrName: string): Promise<StoredMesh>
  /** Adding a mesh again replaces its addresses. The first one becomes the default. @throws OwmError `mesh_key_differs` */
  add(mesh: Mesh): Promise<StoredMesh>
  setDefault(idOrName: string): Promise<void>
  /** The default, undefined when that is the public mesh. */
  getDefault(): Promise<StoredMesh | undefined>
  remove(idOrName: string): Promise<void>
}
export interface StoredMesh extends Mesh {
  readonly isDefault: boolean
}

const fileMode = 0o600
const folderMode = 0o700
const fileSchema = z.strictObject({
  v: z.literal(1),
  parameters: z.unknown(),
  swarmKey: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
  addresses: z.array(z.string()),
})
const extension = '.json'

export function createMeshStore(dataDir: string): MeshStore {
  const folder = join(dataDir, 'meshes')
  const defaultFile = join(folder, 'default')
  const pathOf = (id: string): string => join(folder, id + extension)

  const defaultId = async (): Promise<string | undefined> => {
    const text = await readIfThere(defaultFile)
    return text?.trim() || undefined
  }
  const load = async (id: string, chosen: string | undefined): Promise<StoredMesh> => {
    const path = pathOf(id)
    try {
      const file = fileSchema.parse(JSON.parse(await readFile(path, 'utf8')))
      const key = file.swarmKey === null ? null : new Uint8Array(Buffer.from(file.swarmKey, 'hex'))
      const mesh = meshOf(file.parameters, key, file.addresses)
      if (mesh.id !== id) throw new Error(`its parameters are those of the mesh ${mesh.id}`)
      return { ...mesh, isDefault: id === chosen }
    } catch (cause) {
      // The message of a parser can quote the file, and the file holds the key.
      const why = cause instanceof SyntaxError || cause instanceof z.ZodError ? 'it is damaged' : errorMessage(cause)
      throw new OwmError('corrupt_mesh', `${path} cannot be used: ${why}. Join the mesh again by an invitation.`, {
        path,
      })
    }
  }
  const ids = async (): Promise<string[]> => {
    const names = await readdir(folder).catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return []
      throw error
    })
    return names
      .filter((name) => /^[a-z2-7]{32}\.json$/.test(name))
      .map((name) => name.slice(0, -extension.length))
      .sort()
  }
  const list = async (): Promise<StoredMesh[]> => {
    const chosen = await defaultId()
    return Promise.all((await ids()).map((id) => load(id, chosen)))
  }
  const get = async (idOrName: string): Promise<StoredMesh> => {
    if ((await ids()).includes(idOrName)) return load(idOrName, await defaultId())
    const named = (await list()).filter((mesh) => mesh.parameters.name === idOrName)
    if (named[1] !== undefined) {
      throw new OwmError(
        'ambiguous_mesh',
        `${named.length} meshes are called ${idOrName}; name one by its id: ${named.map((mesh) => mesh.id).join(', ')}.`,
      )
    }
    if (named[0] !== undefined) return named[0]
    throw new OwmError('unknown_mesh', `This peer is in no mesh ${idOrName}; "owm mesh list" shows those it is in.`)
  }
  const setDefault = async (idOrName: string): Promise<void> => {
    const { id } = await get(idOrName)
    await writeFileAtomic(defaultFile, `${id}\n`, fileMode)
  }

  return {
    list,
    get,
    setDefault,
    add: async (mesh) => {
      await mkdir(folder, { recursive: true, mode: folderMode })
      const known = await ids()
      if (known.includes(mesh.id)) {
        const { swarmKey } = await load(mesh.id, undefined)
        if ((swarmKey === null) !== (mesh.swarmKey === null) || !equalKeys(swarmKey, mesh.swarmKey)) {
          throw new OwmError(
            'mesh_key_differs',
            `The mesh ${mesh.id} is known here with another swarm key; remove it first if the new one is right.`,
          )
        }
      }
      const { parameters, swarmKey, addresses } = mesh
      const file = { v: 1, parameters, swarmKey: swarmKey === null ? null : toHex(swarmKey), addresses }
      await writeFileAtomic(pathOf(mesh.id), `${JSON.stringify(file, null, 2)}\n`, fileMode)
      if (known.length === 0) await setDefault(mesh.id)
      return load(mesh.id, await defaultId())
    },
    getDefault: async () => {
      const chosen = await defaultId()
      return chosen === undefined || !(await ids()).includes(chosen) ? undefined : load(chosen, chosen)
    },
    remove: async (idOrName) => {
      const { id, isDefault } = await get(idOrName)
      if (isDefault) await rm(defaultFile, { force: true })
      await rm(pathOf(id))
    },
  }
}

function equalKeys(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : equalBytes(a, b)
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}
