import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../lib/index.ts'

/** Who holds the data directory. It only tells; the lock is what keeps others out. */
const schema = z.object({
  pid: z.int().positive(),
  startedMs: z.int(),
  controlSocket: z.string().nullable(),
})
export type PeerFile = z.infer<typeof schema>

const fileName = 'peer.json'

export async function writePeerFile(dataDir: string, peer: PeerFile): Promise<void> {
  await writeFileAtomic(join(dataDir, fileName), `${JSON.stringify(peer)}\n`, 0o600)
}

export async function removePeerFile(dataDir: string): Promise<void> {
  await rm(join(dataDir, fileName), { force: true })
}

/** Undefined when there is none, or one that a dead peer left. */
export async function readPeerFile(dataDir: string): Promise<PeerFile | undefined> {
  try {
    const peer = schema.parse(JSON.parse(await readFile(join(dataDir, fileName), 'utf8')))
    return isAlive(peer.pid) ? peer : undefined
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
