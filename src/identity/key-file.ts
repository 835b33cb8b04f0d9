import { randomBytes } from 'node:crypto'
import { link, mkdir, open, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { errorCode, errorMessage, OwmError, writeFileAtomic } from '../lib/index.ts'
import type { Identity } from './index.ts'
import { generatePem, identityFromPem } from './key.ts'

/** A PEM of an Ed25519 key has 119 bytes; comments may stand around it. */
const maxKeyFileBytes = 16_384

/**
 * The identity in the file at `path`, which is made when there is none. Of two processes that make it at once, one
 * wins and both return its key. A file that cannot be used is never touched.
 *
 * @throws OwmError `identity_exposed`, `identity_corrupt`, `identity_unreadable`, `identity_unwritable`, `disk_full`
 */
export async function loadOrCreateIdentity(path: string): Promise<{ identity: Identity; created: boolean }> {
  const found = await load(path)
  if (found !== undefined) return { identity: found, created: false }
  const created = await create(path)
  const identity = await load(path)
  if (identity === undefined) throw new OwmError('identity_unreadable', `${path} vanished while it was being made.`)
  return { identity, created }
}

async function load(path: string): Promise<Identity | undefined> {
  let pem: Buffer
  try {
    const file = await open(path, 'r')
    try {
      const { mode, size } = await file.stat()
      // Windows has no group and others in a mode; the folder of the user is private there.
      if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
        throw new OwmError('identity_exposed', `Others can read the private key in ${path}; run: chmod 600 ${path}`, {
          path,
        })
      }
      if (size > maxKeyFileBytes) throw corrupt(path)
      pem = await file.readFile()
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof OwmError) throw error
    if (errorCode(error) === 'ENOENT') return undefined
    throw new OwmError('identity_unreadable', `Cannot read the identity file ${path}: ${errorMessage(error)}.`, {
      path,
    })
  }
  const identity = identityFromPem(pem)
  pem.fill(0)
  if (identity === undefined) throw corrupt(path)
  return identity
}

/** True when this call's key is the one in place now. */
async function create(path: string): Promise<boolean> {
  const folder = dirname(path)
  const candidate = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.new`)
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeFileAtomic(candidate, generatePem(), 0o600)
    // A link, unlike a rename, never replaces: the first of two wins, and what is in place is complete and synced.
    await link(candidate, path)
    await syncFolder(folder)
    return true
  } catch (error) {
    const code = errorCode(error)
    if (code === 'EEXIST') return false
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      throw new OwmError('disk_full', `The disk is full: no identity could be written to ${path}.`, { path })
    }
    throw new OwmError('identity_unwritable', `Cannot write the identity file ${path}: ${errorMessage(error)}.`, {
      path,
    })
  } finally {
    await rm(candidate, { force: true }).catch(() => undefined)
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function corrupt(path: string): OwmError {
  return new OwmError(
    'identity_corrupt',
    `${path} does not hold an unencrypted Ed25519 private key in PEM (PKCS#8); put back a copy, or move it away and a new identity is made.`,
    { path },
  )
}
