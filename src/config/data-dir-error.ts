import { errorMessage, OwmError } from '../lib/index.ts'

/** SQLite's result codes (https://sqlite.org/rescode.html). */
const sqliteCodes: Readonly<Record<number, string>> = { 8: 'EROFS', 13: 'ENOSPC', 26: 'NOTADB' }

/** One clear sentence for what the system refused in the data directory. */
export function dataDirError(path: string, error: unknown): OwmError {
  if (error instanceof OwmError) return error
  const { code, errcode } = error as { code?: string; errcode?: number }
  const refuse = (name: string, message: string): OwmError => new OwmError(name, message, { path }, error)
  switch (errcode === undefined ? code : (sqliteCodes[errcode & 0xff] ?? code)) {
    case 'ENOTDIR':
    case 'EEXIST':
    case 'ENOENT': // A link to nowhere: everything else that is missing is made.
      return refuse('data_dir_not_a_folder', `The data directory ${path} is not a folder, or lies below a file.`)
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return refuse('data_dir_read_only', `The data directory ${path} cannot be written to by this user.`)
    case 'ENOSPC':
    case 'EDQUOT':
      return refuse('disk_full', `The disk of the data directory ${path} is full.`)
    case 'NOTADB':
      return refuse(
        'data_dir_corrupt',
        `${path}/lock.db is not the lock of a data directory; delete it if ${path} is OWM's.`,
      )
    default:
      return refuse('data_dir_unusable', `The data directory ${path} cannot be used: ${errorMessage(error)}.`)
  }
}
