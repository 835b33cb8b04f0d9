import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { readFields } from '../../src/onnx/protobuf.ts'
import { createAppender } from '../../src/training/logs/appender.ts'
import { crc32c, maskedCrc32c } from '../../src/training/logs/crc32c.ts'
import { openCsvLog } from '../../src/training/logs/csv.ts'
import { openTensorBoardLog } from '../../src/training/logs/tensorboard.ts'
import { suite } from '../suite.ts'

const test = suite('logs of a training')

let folder = ''
test.beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'owm-logs-'))
})
test.afterEach(() => rmSync(folder, { recursive: true, force: true }))

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error) => error.code,
  )
const header = 'step,epoch,loss,learning_rate,examples_per_second,seconds,held_out_loss,held_out_accuracy\n'
const csv = () => join(folder, 'deep', 'run.csv')
const lines = () => readFileSync(csv(), 'utf8')

async function write(steps: readonly number[], resumeAt?: number): Promise<void> {
  const log = await openCsvLog(csv(), resumeAt === undefined ? {} : { resumeAt })
  await Promise.all(steps.map((step) => log.append({ step, loss: 1 / step })))
  await log.close()
}
const rows = (...steps: number[]) => header + steps.map((step) => `${step},,${1 / step},,,,,\n`).join('')

test('CSV: a row has its numbers in full, and nothing for what is absent', async () => {
  const log = await openCsvLog(csv())
  await log.append({ step: 1, epoch: 0.1, loss: 0.1 + 0.2, learningRate: 1e-7 })
  await log.append({ step: 2, loss: Number.NaN, examplesPerSecond: 1e21, seconds: 3 })
  await log.append({ step: 2, heldOutLoss: 2.25, heldOutAccuracy: 0.5 })
  assert.is(lines(), `${header}1,0.1,0.30000000000000004,1e-7,,,,\n2,,NaN,,1e+21,3,,\n2,,,,,,2.25,0.5\n`)
  await log.close()
})

test('CSV: resumed at a step, it has no row twice and no gap', async () => {
  await write([1, 2, 3, 4, 4, 5])
  await write([4, 5, 6], 3)
  assert.is(lines(), rows(1, 2, 3, 4, 5, 6))
  await write([7], 6)
  assert.is(lines(), rows(1, 2, 3, 4, 5, 6, 7))
  await write([1], 0)
  assert.is(lines(), rows(1))
})

test('CSV: wherever a crash tears the end off, it is mended', async () => {
  await write([1, 2, 3])
  const whole = lines()
  const ends = [...rows(1, 2, 3).matchAll(/\n/g)].map(({ index }) => index + 1)
  for (let length = 0; length <= whole.length; length++) {
    writeFileSync(csv(), whole.slice(0, length))
    await write([9], 3)
    const kept = Math.max(0, ...ends.filter((end) => end <= length))
    assert.is(lines(), (kept === 0 ? header : whole.slice(0, kept)) + rows(9).slice(header.length), `${length}`)
  }
  writeFileSync(csv(), `${whole}4,,0.2\0\0\0\0`)
  await write([4], 3)
  assert.is(lines(), rows(1, 2, 3, 4))
})

test('CSV: a long log is cut at its place', async () => {
  await write(Array.from({ length: 9000 }, (_, i) => i + 1))
  await write([], 7777)
  assert.is(lines(), rows(...Array.from({ length: 7777 }, (_, i) => i + 1)))
})

test('CSV: what is no log is left alone', async () => {
  await write([1])
  assert.is(await codeOf(openCsvLog(csv())), 'log_exists')
  for (const foreign of [
    'my notes\n',
    'step',
    `${header}1,,0.5,,,,,\nsum,0.5\n`,
    'x'.repeat(200_000),
    `${header}${'1'.repeat(70_000)}`,
  ]) {
    writeFileSync(csv(), foreign)
    const mendable = header.startsWith(foreign)
    assert.is(await codeOf(openCsvLog(csv(), { resumeAt: 1 })), mendable ? 'none' : 'not_a_log', foreign.slice(0, 20))
    if (!mendable) assert.is(lines(), foreign)
  }
})

test('a log that could not be written says so, and nothing follows a torn row', async () => {
  const path = join(folder, 'full')
  const file = await open(path, 'a')
  const log = await createAppender(
    Object.assign(Object.create(file), {
      appendFile: () => Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' })),
      datasync: () => file.datasync(),
      close: () => file.close(),
    }),
    path,
  )
  assert.is(await codeOf(log.append(Buffer.from('1'))), 'log_not_written')
  assert.is(await codeOf(log.append(Buffer.from('2'))), 'log_not_written')
  assert.is(await codeOf(log.close()), 'log_not_written')
  assert.is(readFileSync(path, 'utf8'), '')
})

test('CRC-32C is that of RFC 3720', () => {
  assert.is(crc32c(new Uint8Array(32)), 0x8a9136aa)
  assert.is(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43)
  assert.is(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e)
  assert.is(crc32c(Buffer.from('123456789')), 0xe3069283)
  // Files of events begin with a record of 24 bytes.
  assert.is(maskedCrc32c(Uint8Array.of(24, 0, 0, 0, 0, 0, 0, 0)), 0x224b7fa3)
})

const events = () =>
  readdirSync(folder)
    .filter((name) => name.startsWith('events.out.tfevents.'))
    .sort()

test('TensorBoard: the bytes are those that its reader was seen to read', async () => {
  let seconds = 1_700_000_000
  const log = await openTensorBoardLog(folder, { now: () => seconds++ * 1000 })
  await log.append({ step: 1, loss: 2.5, learningRate: 0.125 })
  await log.append({ step: 300, heldOutLoss: -1, heldOutAccuracy: 0.75 })
  await log.close()
  assert.equal(events(), ['events.out.tfevents.1700000000.owm'])
  assert.is(readFileSync(join(folder, events()[0]!)).toString('hex'), golden)
})

test('TensorBoard: a start after a checkpoint voids what came later', async () => {
  const now = () => 1_700_000_000_000
  for (const resumeAt of [undefined, 5, 0]) {
    const log = await openTensorBoardLog(folder, resumeAt === undefined ? { now } : { now, resumeAt })
    await log.append({ step: 9, loss: 1 })
    await log.close()
  }
  assert.equal(
    events(),
    [0, 1, 2].map((at) => `events.out.tfevents.170000000${at}.owm`),
  )
  const second = [...recordsOf(readFileSync(join(folder, events()[1]!)))].map((event) => [...readFields(event)])
  assert.equal(
    second.map((fields) => fields.map(({ number }) => number)),
    [
      [1, 3],
      [1, 2, 7],
      [1, 2, 5],
    ],
  )
  assert.is(second[0]![1]!.string(), 'brain.Event:2')
  assert.is(second[1]![1]!.integer(), 6)
  assert.equal([...second[1]![2]!.bytes()], [8, 1])
  assert.is(second[2]![1]!.integer(), 9)
  assert.is(await codeOf(openTensorBoardLog(folder)), 'log_exists')
})

test('TensorBoard: a torn record stays alone in its file', async () => {
  const now = () => 1_700_000_000_000
  const first = await openTensorBoardLog(folder, { now })
  await first.append({ step: 1, loss: 1 })
  await first.close()
  const path = join(folder, events()[0]!)
  truncateSync(path, readFileSync(path).length - 3)
  const torn = readFileSync(path)
  await (await openTensorBoardLog(folder, { now, resumeAt: 0 })).close()
  assert.equal(readFileSync(path), torn)
  assert.is([...recordsOf(readFileSync(join(folder, events()[1]!)))].length, 2)
})

test('killed at any instant and resumed, the logs have each step once', async () => {
  mkdirSync(join(folder, 'deep'))
  let checkpoint = ''
  for (const rows of [1, 3, 10, 40]) {
    const child = spawn(process.execPath, [
      fileURLToPath(new URL('logs-child.ts', import.meta.url)),
      csv(),
      folder,
      checkpoint,
    ])
    let output = ''
    child.stdout.on('data', (data) => {
      output += data
      if (output.split('\n').length > rows) child.kill('SIGKILL')
    })
    await new Promise((resolve) => child.once('close', resolve))
    checkpoint = output.slice(0, output.lastIndexOf('\n')).split('\n').at(-1)!
  }
  const last = Number(checkpoint)
  assert.ok(last >= 5 * (1 + 3 + 10 + 40), checkpoint)
  await write([last + 1], last)
  assert.is(lines(), rows(...Array.from({ length: last + 1 }, (_, i) => i + 1)))
  assert.is(events().length, 4)
  // What a start says voids later steps of files before: read as TensorBoard reads them.
  let steps: number[] = []
  for (const name of events()) {
    for (const event of recordsOf(readFileSync(join(folder, name)))) {
      const fields = [...readFields(event)]
      const step = fields.find(({ number }) => number === 2)?.integer()
      if (step === undefined) continue
      if (fields.some(({ number }) => number === 7)) steps = steps.filter((earlier) => earlier < step)
      else steps.push(step)
    }
  }
  assert.equal(
    steps.filter((step) => step <= last),
    Array.from({ length: last }, (_, i) => i + 1),
  )
})

/** Those that are whole. Checks lengths and checksums on the way. */
function* recordsOf(bytes: Buffer): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const length = at + 8 > bytes.length ? 0 : Number(bytes.readBigUInt64LE(at))
    if (at + 16 + length > bytes.length) return
    assert.is(bytes.readUInt32LE(at + 8), maskedCrc32c(bytes.subarray(at, at + 8)))
    const data = bytes.subarray(at + 12, at + 12 + length)
    assert.is(bytes.readUInt32LE(at + 12 + length), maskedCrc32c(data))
    yield data
    at += 16 + length
  }
}

/** `python test/training/pytorch/events.py` shows these numbers. */
const golden = [
  '1800000000000000a37f4b220900004040fc54d9411a0d627261696e2e4576656e743a321b852ede420000000000000079f36eaa0900',
  '008040fc54d94110012a350a140a0d6c6f73732f747261696e696e6715000020400a1d0a1670726f67726573732f6c6561726e696e67',
  '2072617465150000003e3a9adc313e00000000000000d9d240e7090000c040fc54d94110ac022a300a140a0d6c6f73732f68656c6420',
  '6f757415000080bf0a180a1161636375726163792f68656c64206f7574150000403f1fd718e6',
].join('')

test.run()
