/** Runs one test file in this process and writes its tally to the file named by OWM_TEST_TALLY. Used by `test.ts`. */
import { writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { record } from '../test/tally.ts'

const [file] = process.argv.slice(2)
const tally = process.env['OWM_TEST_TALLY']
if (file === undefined || tally === undefined) throw new Error('usage: OWM_TEST_TALLY=FILE test-file.ts TEST')

// Before uvu is loaded: it leaves the running of the queue to us, as to its own command.
const queueing = globalThis as unknown as { UVU_DEFER: number; UVU_QUEUE: unknown[][]; UVU_INDEX: number }
queueing.UVU_DEFER = 1
queueing.UVU_QUEUE = [[file]]
queueing.UVU_INDEX = 0
const { exec } = await import('uvu')

// uvu exits 0 when a hook throws or when run() was forgotten, so it is not asked: the tally is.
process.on('exit', (code) => writeFileSync(tally, JSON.stringify({ ...record, code })))
await import(pathToFileURL(file).href)
await exec()
process.exit()
