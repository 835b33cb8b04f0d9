import { copyFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import * as assert from 'uvu/assert'
import { openJournal } from '../../src/federation/journal.ts'
import { errorCode } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import {
  certified,
  cleanUp,
  connectAll,
  type MeshPeer,
  specificationFor,
  startPeer,
  temporaryFolder,
  until,
} from './mesh.ts'

const test = suite('federation, its disk')
test.afterEach(cleanUp)

const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'none'
  } catch (error) {
    return errorCode(error)
  }
}

test('a journal that is damaged as a whole is an error with a code, and is left as it is', () => {
  const [garbage, torn, empty] = [temporaryFolder(), temporaryFolder(), temporaryFolder()]
  const fileIn = (folder: string): string => join(folder, 'federation.sqlite')
  writeFileSync(fileIn(garbage), Buffer.alloc(5_000, 'no database '))
  assert.is(
    codeOf(() => openJournal(garbage)),
    'journal_corrupt',
  )
  const journal = openJournal(torn)
  for (let i = 0; i < 50; i++) journal.addRun({ id: `run${i}`, document: new Uint8Array(5_000) })
  journal.close()
  copyFileSync(fileIn(torn), fileIn(empty))
  truncateSync(fileIn(torn), 30_000)
  assert.is(
    codeOf(() => openJournal(torn)),
    'journal_corrupt',
  )
  assert.is(
    codeOf(() => openJournal(torn)),
    'journal_corrupt',
  )
  truncateSync(fileIn(empty), 0)
  openJournal(empty).close()
})

test('a certificate that is damaged on the disk is fetched again, with those after it', async () => {
  let peers = [await startPeer(), await startPeer()]
  const [owner, second] = peers as [MeshPeer, MeshPeer]
  await connectAll(peers)
  await owner.federation.createRun(await specificationFor(owner, peers))
  await until(() => peers.every((peer) => certified(peer) === 5))
  const before = owner.federation.runs()[0]?.rounds.map((round) => round.certificate)
  await second.stop()
  const db = new DatabaseSync(join(second.dataDir, 'federation.sqlite'))
  db.exec("UPDATE certificates SET bytes = x'00' WHERE round = 3")
  db.exec("UPDATE evaluations SET document = x'00' WHERE round = 2")
  db.close()
  const again = await startPeer({ dataDir: second.dataDir, identity: second.identity })
  assert.is(certified(again), 2)
  peers = [owner, again]
  await connectAll(peers)
  await until(() => certified(again) === 5)
  assert.equal(
    again.federation.runs()[0]?.rounds.map((round) => round.certificate),
    before,
  )
  await again.stop()
  const once = await startPeer({ dataDir: second.dataDir, identity: second.identity })
  assert.is(certified(once), 5)
})

test('a peer whose disk takes no write leaves the round, lives on, and goes on when there is room', async () => {
  const peers = [await startPeer({ trainMs: 200 }), await startPeer({ trainMs: 200 })]
  const [owner] = peers as [MeshPeer]
  await connectAll(peers)
  await owner.federation.createRun(await specificationFor(owner, peers, { rounds: 3 }))
  await until(() => certified(owner) === 1)
  // As with a full disk no write succeeds while another holds the lock: not that of the update it is sent, either.
  const db = new DatabaseSync(join(owner.dataDir, 'federation.sqlite'))
  db.exec('BEGIN IMMEDIATE')
  await until(() => owner.lines.some((line) => line.includes('could not be carried out')))
  db.exec('ROLLBACK')
  db.close()
  await until(() => peers.every((peer) => certified(peer) === 3))
})

test.run()
