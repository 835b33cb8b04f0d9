import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folderPrefix = 'owm-devnet-'
const ownerFile = 'owner.pid'

/** A folder for one devnet, which says whose it is. */
export async function makeFolder(): Promise<string> {
  await sweepDeadDevnets()
  const folder = await mkdtemp(join(tmpdir(), folderPrefix))
  await writeFile(join(folder, ownerFile), String(process.pid))
  return folder
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
}

/** A devnet that was itself killed leaves its folder; its peers have ended with it. The next devnet tidies up. */
async function sweepDeadDevnets(): Promise<void> {
  for (const name of await readdir(tmpdir()).catch(() => [])) {
    if (!name.startsWith(folderPrefix)) continue
    const folder = join(tmpdir(), name)
    const owner = Number(await readFile(join(folder, ownerFile), 'utf8').catch(() => Number.NaN))
    if (Number.isInteger(owner) && !isAlive(owner))
      await rm(folder, { recursive: true, force: true }).catch(() => undefined)
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
