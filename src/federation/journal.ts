import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { z } from 'zod'
import { decode, encode, errorMessage, OwmError } from '../lib/index.ts'
import { openValue } from './certificate.ts'
import { type Control, openControl } from './control.ts'
import { documentField } from './fields.ts'
import { maxRosterPeers } from './roster.ts'
import type { MemberRecord } from './round-state.ts'
import {
  type Abandon,
  type Evaluation,
  type Notice,
  openAbandon,
  openEvaluation,
  openNotice,
  openVote,
} from './statements.ts'
import { lockToWire, proofToWire, recordSchema } from './wire.ts'

/** Our own record: one value, its votes, and room. */
const maxRecordBytes = 4 * 1024 * 1024

export interface StoredRun {
  readonly id: string
  readonly document: Uint8Array
}
export interface StoredCertificate {
  readonly round: number
  readonly bytes: Uint8Array
  readonly certifiedMs: number
  readonly seconds: number
}

export interface StoredAttempt {
  readonly attempt: number
  readonly givenUp: boolean
  /** What lets the peer be in it. */
  readonly proof: readonly Abandon[]
}

/**
 * What a peer must not forget: runs, certificates, and in the round under way its votes, the updates that it has
 * acknowledged, and its own. Every call is durable when it returns: a vote that has left is a vote on disk.
 */
export interface Journal {
  runs(): StoredRun[]
  addRun(run: StoredRun): void
  /** Forgets the run and all that was written of it. */
  removeRun(id: string): void
  certificates(run: string, after: number, limit: number): StoredCertificate[]
  /** Adds the certificate and forgets what the round had written, in one transaction. */
  addCertificate(run: string, certificate: StoredCertificate): void
  record(run: string, round: number): MemberRecord | null
  setRecord(run: string, round: number, record: MemberRecord): void
  held(run: string, round: number): Notice[]
  hold(run: string, notice: Notice): void
  /** The attempt at the round that this peer is in, if not the first, or if it has given that one up. */
  attempt(run: string, round: number): StoredAttempt | null
  giveUp(run: string, round: number, attempt: number): void
  /** Enters a later attempt and forgets the votes of the one before, in one transaction. */
  enterAttempt(run: string, round: number, attempt: number, proof: readonly Abandon[]): void
  /** Puts the certificate in the place of another one, and forgets what came after that, in one transaction. */
  switchTo(run: string, certificate: StoredCertificate): void
  own(run: string, round: number): Notice | null
  setOwn(run: string, notice: Notice): void
  evaluations(run: string): Evaluation[]
  addEvaluation(evaluation: Evaluation): void
  /** The owner's word that stands. */
  control(run: string): Control | null
  setControl(control: Control): void
  /** Whether the operator has told this peer to train in the run, or not to; null when the settings decide. */
  part(run: string): boolean | null
  setPart(run: string, trains: boolean): void
  close(): void
}

const proofSchema = z.array(documentField).max(maxRosterPeers)

const schema = `
  CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, document BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS certificates (run TEXT, round INTEGER, bytes BLOB NOT NULL, certified_ms INTEGER NOT NULL,
    seconds REAL NOT NULL, PRIMARY KEY (run, round)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS records (run TEXT PRIMARY KEY, round INTEGER NOT NULL, record BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS held (run TEXT, round INTEGER, trainer TEXT, notice BLOB NOT NULL,
    PRIMARY KEY (run, round, trainer)) STRICT;
  CREATE TABLE IF NOT EXISTS own (run TEXT, round INTEGER, notice BLOB NOT NULL, PRIMARY KEY (run, round)) STRICT;
  CREATE TABLE IF NOT EXISTS attempts (run TEXT PRIMARY KEY, round INTEGER NOT NULL, attempt INTEGER NOT NULL,
    given_up INTEGER NOT NULL, proof BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS evaluations (run TEXT, round INTEGER, document BLOB NOT NULL,
    PRIMARY KEY (run, round)) STRICT;
  CREATE TABLE IF NOT EXISTS controls (run TEXT PRIMARY KEY, document BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS parts (run TEXT PRIMARY KEY, trains INTEGER NOT NULL) STRICT;
`

/**
 * A damaged file is not replaced by an empty one: this peer would no longer know for what it has voted, and could vote
 * twice. Whether that matters (a vote of another round does not) is for the operator to say.
 *
 * @throws OwmError `journal_corrupt`, or `journal_unusable`
 */
function openDatabase(path: string): DatabaseSync {
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(path)
    // WAL with FULL: each commit is synced, one write instead of two.
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;')
    db.exec(schema)
    // Finds pages that are torn or missing before a round relies on them.
    const found = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
    if (found !== 'ok') throw new Error(String(found))
    return db
  } catch (error) {
    db?.close()
    if (isFull(error)) throw new OwmError('disk_full', `The disk of ${path} is full.`, { path }, error)
    const damaged = /malformed|not a database|corrupt|\*\*\*|row|page/i.test(errorMessage(error))
    throw damaged
      ? new OwmError(
          'journal_corrupt',
          `${path} is damaged: ${errorMessage(error)}. Put a copy back, or, once the round under way at the crash is over, move it away: runs and certificates are then fetched from other peers.`,
          { path },
          error,
        )
      : new OwmError('journal_unusable', `${path} cannot be opened: ${errorMessage(error)}.`, { path }, error)
  }
}

function isFull(error: unknown): boolean {
  return /database or disk is full/.test(errorMessage(error))
}

export function openJournal(folder: string): Journal {
  mkdirSync(folder, { recursive: true })
  const db = openDatabase(join(folder, 'federation.sqlite'))
  const prepared = new Map<string, StatementSync>()
  const sql = (text: string): StatementSync => {
    const statement = prepared.get(text) ?? db.prepare(text)
    prepared.set(text, statement)
    return statement
  }
  const bytesOf = (row: Record<string, unknown> | undefined, column: string): Uint8Array | null =>
    row === undefined ? null : (row[column] as Uint8Array)

  const transaction = (work: () => void): void => {
    db.exec('BEGIN')
    try {
      work()
      db.exec('COMMIT')
    } catch (error) {
      // A full disk can have ended it already.
      if (db.isTransaction) db.exec('ROLLBACK')
      throw error
    }
  }

  return {
    runs: () =>
      sql('SELECT id, document FROM runs ORDER BY rowid')
        .all()
        .map((row) => ({ id: String(row['id']), document: row['document'] as Uint8Array })),
    addRun: ({ id, document }) => void sql('INSERT OR IGNORE INTO runs VALUES (?, ?)').run(id, document),
    certificates: (run, after, limit) =>
      sql('SELECT * FROM certificates WHERE run = ? AND round > ? ORDER BY round LIMIT ?')
        .all(run, after, limit)
        .map((row) => ({
          round: Number(row['round']),
          bytes: row['bytes'] as Uint8Array,
          certifiedMs: Number(row['certified_ms']),
          seconds: Number(row['seconds']),
        })),
    removeRun: (id) => {
      transaction(() => {
        for (const table of [
          'certificates',
          'records',
          'held',
          'own',
          'attempts',
          'evaluations',
          'controls',
          'parts',
        ]) {
          sql(`DELETE FROM ${table} WHERE run = ?`).run(id)
        }
        sql('DELETE FROM runs WHERE id = ?').run(id)
      })
    },
    addCertificate: (run, { round, bytes, certifiedMs, seconds }) => {
      transaction(() => {
        // One that is there already was damaged, or follows one that was.
        sql('INSERT OR REPLACE INTO certificates VALUES (?, ?, ?, ?, ?)').run(run, round, bytes, certifiedMs, seconds)
        sql('DELETE FROM records WHERE run = ? AND round <= ?').run(run, round)
        sql('DELETE FROM held WHERE run = ? AND round <= ?').run(run, round)
        sql('DELETE FROM own WHERE run = ? AND round <= ?').run(run, round)
        sql('DELETE FROM attempts WHERE run = ? AND round <= ?').run(run, round)
      })
    },
    attempt: (run, round) => {
      const row = sql('SELECT * FROM attempts WHERE run = ? AND round = ?').get(run, round)
      if (row === undefined) return null
      const proof = decode(row['proof'] as Uint8Array, proofSchema, maxRecordBytes).map(openAbandon)
      return { attempt: Number(row['attempt']), givenUp: row['given_up'] === 1, proof }
    },
    giveUp: (run, round, attempt) => {
      const given = sql('UPDATE attempts SET given_up = 1 WHERE run = ? AND round = ? AND attempt = ?')
      if (given.run(run, round, attempt).changes > 0) return
      sql('INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, 1, ?)').run(run, round, attempt, encode([]))
    },
    enterAttempt: (run, round, attempt, proof) => {
      transaction(() => {
        const documents = encode(proof.map((abandon) => abandon.document))
        sql('INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, 0, ?)').run(run, round, attempt, documents)
        sql('DELETE FROM records WHERE run = ?').run(run)
      })
    },
    switchTo: (run, { round, bytes, certifiedMs, seconds }) => {
      transaction(() => {
        for (const table of ['records', 'held', 'own', 'attempts']) sql(`DELETE FROM ${table} WHERE run = ?`).run(run)
        for (const table of ['certificates', 'evaluations']) {
          sql(`DELETE FROM ${table} WHERE run = ? AND round >= ?`).run(run, round)
        }
        sql('INSERT INTO certificates VALUES (?, ?, ?, ?, ?)').run(run, round, bytes, certifiedMs, seconds)
      })
    },
    record: (run, round) => {
      const bytes = bytesOf(sql('SELECT record FROM records WHERE run = ? AND round = ?').get(run, round), 'record')
      return bytes === null ? null : readRecord(bytes)
    },
    setRecord: (run, round, record) =>
      void sql('INSERT OR REPLACE INTO records VALUES (?, ?, ?)').run(run, round, writeRecord(record)),
    held: (run, round) =>
      sql('SELECT notice FROM held WHERE run = ? AND round = ? ORDER BY trainer')
        .all(run, round)
        .map((row) => openNotice(row['notice'] as Uint8Array)),
    hold: (run, notice) =>
      void sql('INSERT OR IGNORE INTO held VALUES (?, ?, ?, ?)').run(
        run,
        notice.round,
        notice.trainer,
        notice.document,
      ),
    own: (run, round) => {
      const bytes = bytesOf(sql('SELECT notice FROM own WHERE run = ? AND round = ?').get(run, round), 'notice')
      return bytes === null ? null : openNotice(bytes)
    },
    setOwn: (run, notice) =>
      void sql('INSERT OR IGNORE INTO own VALUES (?, ?, ?)').run(run, notice.round, notice.document),
    evaluations: (run) =>
      sql('SELECT document FROM evaluations WHERE run = ? ORDER BY round')
        .all(run)
        .flatMap((row) => {
          try {
            return [openEvaluation(row['document'] as Uint8Array)]
          } catch {
            // Nothing is decided by them: a damaged one is measured again, or never.
            return []
          }
        }),
    addEvaluation: ({ run, round, document }) =>
      void sql('INSERT OR IGNORE INTO evaluations VALUES (?, ?, ?)').run(run, round, document),
    control: (run) => {
      const bytes = bytesOf(sql('SELECT document FROM controls WHERE run = ?').get(run), 'document')
      if (bytes === null) return null
      try {
        return openControl(bytes)
      } catch {
        // A damaged one is heard again from the others.
        return null
      }
    },
    setControl: ({ run, document }) => void sql('INSERT OR REPLACE INTO controls VALUES (?, ?)').run(run, document),
    part: (run) => {
      const row = sql('SELECT trains FROM parts WHERE run = ?').get(run)
      return row === undefined ? null : row['trains'] === 1
    },
    setPart: (run, trains) => void sql('INSERT OR REPLACE INTO parts VALUES (?, ?)').run(run, trains ? 1 : 0),
    close: () => db.close(),
  }
}

function writeRecord({ view, prepared, lock }: MemberRecord): Uint8Array {
  return encode({
    view,
    prepared:
      prepared === null
        ? null
        : {
            view: prepared.view,
            value: prepared.value.bytes,
            justify: prepared.justify === null ? null : proofToWire(prepared.justify),
          },
    lock: lock === null ? null : lockToWire(lock),
  })
}

function readRecord(bytes: Uint8Array): MemberRecord {
  const { view, prepared, lock } = decode(bytes, recordSchema, maxRecordBytes)
  return {
    view,
    prepared:
      prepared === null
        ? null
        : {
            view: prepared.view,
            value: openValue(prepared.value),
            justify:
              prepared.justify === null
                ? null
                : {
                    view: prepared.justify.view,
                    value: prepared.justify.value.toString(),
                    votes: prepared.justify.votes.map(openVote),
                  },
          },
    lock: lock === null ? null : { view: lock.view, value: openValue(lock.value), votes: lock.votes.map(openVote) },
  }
}
