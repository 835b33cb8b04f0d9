import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/** The folder itself, or the one in which it would be made. @throws what `stat` throws, and `ENOTDIR` */
export async function nearestFolder(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      if ((await stat(folder)).isDirectory()) return folder
      throw Object.assign(new Error(), { code: 'ENOTDIR' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || folder === dirname(folder)) throw error
    }
  }
}
