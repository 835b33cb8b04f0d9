import { readdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type Finished, owm, temporaryFolder } from '../processes.ts'
import { suite } from '../suite.ts'

const test = suite('owm devnet')

interface Report {
  readonly peers: number
  readonly rounds: readonly {
    readonly round: number
    readonly leader: string
    readonly committee: readonly string[]
    readonly trainers: readonly string[]
    readonly seconds: number
    readonly heldOutBitsPerByte: number
    readonly checkpoint: string
  }[]
  readonly initialBitsPerByte: number
  readonly unigramBitsPerByte: number
  readonly bigramBitsPerByte: number
  readonly trigramBitsPerByte: number
  readonly heldOutBitsPerByte: number
  readonly checkpoint: string
  readonly certificateSignatures: number
  readonly acceptedUpdates: number
  readonly lostUpdates: number
  readonly recoverySeconds?: number
  readonly answer: { readonly text: string; readonly checkpoint: string; readonly gateway: string }
  readonly bytesOnWire: number
  readonly seconds: number
}

const devnet = (...args: string[]): Promise<Finished> =>
  owm(['devnet', '--exit', '--json', ...args], { timeoutMs: 170_000 })
const reportOf = (finished: Finished): Report => {
  assert.is(finished.code, 0, finished.stderr)
  return JSON.parse(finished.stdout.trim().split('\n').at(-1) ?? '') as Report
}
const leftovers = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('owm-devnet-'))

test(
  'a mesh forms, learns, certifies and answers, and leaves nothing behind',
  async () => {
    const report = reportOf(await devnet('--rounds', '3'))
    assert.is(report.peers, 3)
    assert.equal(
      report.rounds.map((round) => round.round),
      [1, 2, 3],
    )
    for (const round of report.rounds) {
      assert.ok(round.committee.includes(round.leader))
      assert.is(round.trainers.length, 3)
      assert.ok(round.heldOutBitsPerByte < report.initialBitsPerByte, 'a round did not learn')
    }
    assert.ok(report.heldOutBitsPerByte < report.unigramBitsPerByte)
    assert.ok(
      report.trigramBitsPerByte < report.bigramBitsPerByte && report.bigramBitsPerByte < report.unigramBitsPerByte,
    )
    assert.ok(report.certificateSignatures >= 2)
    assert.is(report.lostUpdates, 0)
    assert.is(report.answer.checkpoint, report.checkpoint)
    assert.is(report.checkpoint, report.rounds.at(-1)?.checkpoint)
    assert.ok(report.answer.text.length > 0)
    assert.ok(report.bytesOnWire > 100_000)
    assert.equal(leftovers(), [])
  },
  { timeoutMs: 175_000 },
)

test(
  'the leader is killed with SIGKILL in round 2, and nothing happens',
  async () => {
    const folder = temporaryFolder()
    // Four folders of one's own text instead of the installed packages.
    for (const part of ['a', 'b', 'c', 'd']) {
      await mkdir(join(folder, part))
      for (let i = 0; i < 40; i++)
        await writeFile(
          join(folder, part, `${i}.md`),
          `${part} ${i}: the peers learn from the text they keep. `.repeat(60 + i),
        )
    }
    const report = reportOf(await devnet('--rounds', '3', '--kill', 'leader@2', '--data', folder))
    assert.is(report.rounds.length, 3)
    assert.is(report.lostUpdates, 0)
    assert.ok(report.acceptedUpdates >= 6)
    assert.ok(typeof report.recoverySeconds === 'number')
    assert.is(report.answer.checkpoint, report.checkpoint)
    assert.equal(leftovers(), [])
  },
  { timeoutMs: 175_000 },
)

test('what cannot work is said before anything starts', async () => {
  assert.is((await devnet('--rounds', '2', '--kill', 'leader@3')).code, 64)
  assert.is((await devnet('--peers', '2', '--kill', 'leader@1')).code, 64)
  assert.is((await devnet('--kill', 'everybody')).code, 64)
  const empty = await devnet('--data', temporaryFolder())
  assert.is(empty.code, 65)
  assert.match(empty.stdout, /no_training_data/)
})

test.run()
