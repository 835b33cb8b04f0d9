import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import * as assert from 'uvu/assert'
import { chooseRun } from '../../src/cli/run-find.ts'
import { newRunRequest, withCreateOptions } from '../../src/cli/run-options.ts'
import { listRuns, showRun } from '../../src/cli/run-view.ts'
import { watchRun } from '../../src/cli/run-watch.ts'
import { createTerminal } from '../../src/cli/terminal.ts'
import type { ControlClient } from '../../src/control/index.ts'
import type { AuditReport, RunView } from '../../src/federation/index.ts'
import { errorCode, sleep } from '../../src/lib/index.ts'
import { makeRound, makeRun } from '../gateway/twins.ts'
import { owm, startPeer, temporaryFolder, until } from '../processes.ts'
import { suite } from '../suite.ts'

const test = suite('owm run')

const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'no error'
  } catch (error) {
    return errorCode(error)
  }
}

test('a run is named by its id, the end of it, or its name, and never guessed', () => {
  const runs = [
    makeRun({ id: 'bafyone11111', name: 'code' }),
    makeRun({ id: 'bafytwo22222', name: 'code', status: 'finished' }),
    makeRun({ id: 'bafyten22222', name: 'prose' }),
  ]
  assert.is(chooseRun(runs, 'bafytwo22222').id, 'bafytwo22222')
  assert.is(chooseRun(runs, '…one11111').id, 'bafyone11111')
  assert.is(chooseRun(runs, 'code').id, 'bafyone11111', 'of two with one name the one that is not over')
  assert.is(
    codeOf(() => chooseRun(runs, '22222')),
    'no error',
    'one of the two is over',
  )
  assert.is(
    codeOf(() => chooseRun(runs, undefined)),
    'ambiguous_run',
  )
  assert.is(
    codeOf(() => chooseRun(runs, 'nothing')),
    'unknown_run',
  )
  assert.is(
    codeOf(() => chooseRun([], undefined)),
    'unknown_run',
  )
  assert.is(chooseRun(runs.slice(2), undefined).name, 'prose')
})

test('every option of a new run becomes a field of the request', () => {
  const parse = (...args: string[]): Record<string, unknown> => {
    const command = withCreateOptions(new Command('create'))
      .exitOverride()
      .configureOutput({ writeErr: () => undefined })
    return newRunRequest(command.parse(args, { from: 'user' }).opts())
  }
  assert.equal(parse(), { name: 'owm-code', rounds: 20, localMs: 10_000 })
  assert.equal(
    parse(
      ...['--name', 'x', '--rounds', '3', '--local-seconds', '0.5', '--local-steps', '7', '--minimum-trainers', '2'],
      ...['--committee', '4', '--faults', 'byzantine', '--bits', '4', '--clip', '1.5', '--held-out-share', '9'],
      ...['--roster', 'a', 'b', '--model', 'layers=2', 'width=128', '--optimizer', 'learningRate=0.1'],
      ...['--plan', 'codec={"bits":2}', 'rule=median', '--continue', 'other'],
    ),
    {
      name: 'x',
      rounds: 3,
      localMs: 500,
      localSteps: 7,
      minimumTrainers: 2,
      committeeSize: 4,
      faults: 'byzantine',
      updateBits: 4,
      clipNorm: 1.5,
      heldOutShare: 9,
      roster: ['a', 'b'],
      model: { layers: 2, width: 128 },
      optimizer: { learningRate: 0.1 },
      plan: { codec: { bits: 2 }, rule: 'median' },
      continueFrom: 'other',
    },
  )
  for (const wrong of [
    ['--rounds', '0'],
    ['--faults', 'none'],
    ['--bits', '5'],
    ['--model', 'layers'],
    ['--clip', '0'],
  ]) {
    assert.throws(() => parse(...wrong), undefined, wrong.join(' '))
  }
})

test('a view tells state, refusals, bytes and lineage', () => {
  const { style } = createTerminal({ json: true })
  const run = makeRun({
    round: 4,
    totalRounds: 9,
    rounds: [makeRound(1), makeRound(2), makeRound(3)],
    control: { action: 'pause', last: 4, sequence: 1 },
    observed: [
      {
        round: 3,
        sentBytes: 1_000_000,
        receivedBytes: 2_000_000,
        rejected: [{ trainer: 'liar', code: 'over_bound' }],
        passedOver: ['silent'],
      },
    ],
  })
  const text = showRun(run, 'self', style, { rounds: 2, lineage: true }).join('\n')
  assert.match(text, 'training, a pause follows round 4, round 4 of 9')
  assert.match(text, 'round 3: the update of liar was refused: over_bound')
  assert.match(text, 'round 3: silent was passed over as the leader')
  assert.match(text, 'and 1 earlier ones')
  assert.match(text, `round 1  checkpoint ${run.rounds[0]?.checkpoint}`)
  assert.match(listRuns([{ ...run, status: 'paused' }], run.owner), /paused +3 of 9 .*this peer/)
})

test('a watched run is drawn anew as it goes, within the screen, until it is over', async () => {
  const run = makeRun({ rounds: Array.from({ length: 50 }, (_, i) => makeRound(i + 1)), roster: ['x'.repeat(300)] })
  let current = [run]
  const event = { run: run.id, atMs: 1, type: 'run-finished', checkpoint: 'c' } as const
  const control: ControlClient = {
    call: async <T>() => current as T,
    stream: async function* <T>(_verb: string, _input?: unknown, options?: { readonly signal?: AbortSignal }) {
      yield { ...event, run: 'another' } as T
      yield { run: run.id, atMs: 1, type: 'round-started', round: 51, leader: 'l', committee: [] } as T
      await sleep(50)
      current = [{ ...run, status: 'finished' }]
      yield event as T
      await new Promise((resolve) => options?.signal?.addEventListener('abort', resolve, { once: true }))
    },
  }
  const drawn: (readonly string[])[] = []
  const said: string[] = []
  const plain = createTerminal({ json: true })
  const draw = (lines: readonly string[]): void => void drawn.push(lines)
  const screen = { ...plain, json: false, live: true, columns: 60, rows: 24, draw }
  await watchRun(control, screen, { id: run.id, self: 'me' }, AbortSignal.timeout(5000))
  assert.ok(drawn.length >= 2)
  assert.ok(drawn.every((lines) => lines.length < 24 && lines.every((line) => line.length < 60)))
  assert.match(drawn.at(-1)?.join(' ') ?? '', 'finished')
  current = [run]
  const pipe = { ...plain, json: false, live: false, say: (line: string) => void said.push(line) }
  await watchRun(control, pipe, { id: run.id, self: 'me' }, AbortSignal.timeout(5000))
  assert.equal(said, ['round 51 started, l leads', 'the run is over'])
})

test(
  'a run from its making to its audit, by commands alone',
  async () => {
    const [dataDir, texts, out] = [temporaryFolder(), temporaryFolder(), join(temporaryFolder(), 'exported')]
    for (let i = 0; i < 40; i++) {
      writeFileSync(join(texts, `${i}.txt`), `Text number ${i}: ${'the same words again, and other ones. '.repeat(40)}`)
    }
    const peer = await startPeer({ dataDir, args: ['--data', texts] })
    const run = async (...args: string[]) => owm(['run', ...args, '--data-dir', dataDir])
    const json = async <T>(...args: string[]): Promise<T> => {
      const { stdout, stderr } = await run(...args, '--json')
      try {
        return JSON.parse(stdout) as T
      } catch {
        throw new Error(`${args.join(' ')}: ${stdout}${stderr}`)
      }
    }
    assert.match((await run('list')).stdout, 'no runs yet')
    assert.is((await run('show')).code, 69)
    const { run: id } = await json<{ run: string }>(
      'create',
      '--name',
      'made',
      '--rounds',
      '200',
      '--local-seconds',
      '0.2',
    )
    await until(async () => ((await peer.call<RunView[]>('runs'))[0]?.rounds.length ?? 0) >= 2, 60_000)
    assert.is((await json<RunView>('pause', 'made')).control?.action, 'pause')
    await until(async () => (await peer.call<RunView[]>('runs'))[0]?.status === 'paused', 30_000)
    assert.match((await run('show')).stdout, /made {2}paused, round \d+ of 200/)
    const rounds = (await json<RunView>('show', id.slice(-8))).rounds.length
    const twice = await run('resume', 'other')
    assert.is(twice.code, 69)
    assert.match(twice.stderr, 'owm run list')

    const verified = await json<AuditReport>('verify', 'made')
    assert.is(verified.verdict, 'sound')
    assert.is(verified.recomputed.length, rounds)
    const exported = await run('export', 'made', '--to', out)
    assert.is(exported.code, 0, exported.stderr)
    assert.is((await run('export', 'made', '--to', out)).code, 73, 'nothing is overwritten')
    const [certificate = ''] = readdirSync(join(out, 'certificates'))
    const one = await run('verify', join(out, 'certificates', certificate))
    assert.is(one.code, 0, one.stdout + one.stderr)
    assert.match(one.stdout, 'the updates give the certified result')
    assert.equal(await json<RunView>('finish', 'made').then(({ status }) => status), 'finished')
    const { run: next } = await json<{ run: string }>('create', '--name', 'made', '--continue', id, '--rounds', '1')
    const started = (await peer.call<RunView[]>('runs')).find((each) => each.id === next)
    assert.is(started?.specification['heldOut'], (await json<RunView>('show', id)).specification['heldOut'])
    assert.is((await json<RunView>('cancel', next)).status, 'cancelled')
    await peer.stop()

    const offline = await run('verify', out)
    assert.is(offline.code, 0, offline.stdout + offline.stderr)
    assert.match(offline.stdout, 'Nothing is wrong.')
    for (const file of ['model.onnx', 'weights.safetensors', 'run.json'])
      assert.ok(readFileSync(join(out, file)).length > 100)
    const bytes = readFileSync(join(out, 'certificates', certificate))
    bytes[bytes.length - 1]! ^= 1
    writeFileSync(join(out, 'certificates', certificate), bytes)
    const tampered = await run('verify', out, '--json')
    assert.is(tampered.code, 1)
    assert.is((JSON.parse(tampered.stdout) as AuditReport).verdict, 'wrong')
    mkdirSync(join(out, 'empty'))
    assert.is((await run('verify', join(out, 'empty'))).code, 65)
  },
  { timeoutMs: 180_000 },
)

test.run()
