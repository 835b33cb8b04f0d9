import { spawnSync } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { createProgram } from '../../src/cli/main.ts'
import { owm, temporaryFolder } from '../processes.ts'
import { suite } from '../suite.ts'

const test = suite('owm commands')

test('every command has a help worth reading', () => {
  const visit = (command: ReturnType<typeof createProgram>): void => {
    assert.ok(command.description().length > 10, `${command.name()} says nothing of itself`)
    for (const option of command.options)
      assert.ok(option.description, `${command.name()} ${option.flags} says nothing`)
    command.commands.forEach(visit)
  }
  visit(createProgram())
})

test('init makes an identity and a configuration once, and overwrites neither', async () => {
  const dataDir = temporaryFolder()
  const first = JSON.parse((await owm(['init', '--json', '--data-dir', dataDir])).stdout) as Record<string, unknown>
  assert.is(first['createdIdentity'], true)
  assert.is(first['createdConfig'], true)
  assert.is((await stat(join(dataDir, 'identity.key'))).mode & 0o777, 0o600)
  const again = JSON.parse((await owm(['init', '--json', '--data-dir', dataDir])).stdout) as Record<string, unknown>
  assert.is(again['peer'], first['peer'])
  assert.is(again['createdIdentity'], false)
  assert.is(again['createdConfig'], false)
})

test('doctor finds nothing in the way here, and says what is', async () => {
  const env = { OWM_NETWORK_LISTEN: '/ip4/127.0.0.1/tcp/0', OWM_HTTP_LISTEN: '127.0.0.1:0' }
  const healthy = await owm(['doctor', '--json', '--data-dir', temporaryFolder()], { env })
  const report = JSON.parse(healthy.stdout) as {
    ok: boolean
    findings: { check: string; state: string; found: string }[]
  }
  assert.is(healthy.code, 0, healthy.stdout)
  assert.ok(report.ok)
  for (const check of ['clock', 'disk', 'data', 'identity', 'ports', 'bootstrap', 'nat', 'gpu', 'onnxruntime']) {
    assert.ok(
      report.findings.some((finding) => finding.check === check),
      `no finding on ${check}`,
    )
  }
  const sick = await owm(['doctor', '--data-dir', temporaryFolder(), '--set', 'training.data=/nowhere/at/all'], { env })
  assert.is(sick.code, 1)
  assert.match(sick.stdout, /fail {2}training +no folder \/nowhere\/at\/all/)
})

test('doctor notices a bootstrap peer that does not answer', async () => {
  const address = '/ip4/127.0.0.1/tcp/9/p2p/12D3KooWQf9cUs3mTz6dQeKZbZpJTs5WNuvN8dhNTWSmLqCoTAvU'
  const env = {
    OWM_NETWORK_LISTEN: '/ip4/127.0.0.1/tcp/0',
    OWM_HTTP_LISTEN: '127.0.0.1:0',
    OWM_NETWORK_BOOTSTRAP: address,
  }
  const { stdout } = await owm(['doctor', '--data-dir', temporaryFolder()], { env })
  assert.match(stdout, /look {2}bootstrap +127\.0\.0\.1:9: ECONNREFUSED/)
})

test('completions for bash complete commands and options', async () => {
  const { stdout } = await owm(['completion', 'bash'])
  const complete = (...words: string[]): string[] => {
    const script = `${stdout}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _owm; echo "\${COMPREPLY[@]}"`
    return spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout.trim().split(' ')
  }
  assert.ok(complete('owm', 'pe').includes('peer'))
  assert.equal(complete('owm', 'peer', 'sto'), ['stop'])
  assert.ok(complete('owm', 'peer', 'start', '--boot').includes('--bootstrap'))
  assert.is((await owm(['completion', 'fish'])).code, 64)
})

test('a mesh is made, invited to, joined and listed', async () => {
  const [one, two] = [temporaryFolder(), temporaryFolder()]
  assert.match((await owm(['mesh', 'create', 'lab', '--data-dir', one])).stdout, /made the mesh lab/)
  const invited = await owm([
    'mesh',
    'invite',
    'lab',
    '--data-dir',
    one,
    '--address',
    '/ip4/192.0.2.1/tcp/4242/p2p/12D3KooWQf9cUs3mTz6dQeKZbZpJTs5WNuvN8dhNTWSmLqCoTAvU',
  ])
  const invitation = invited.stdout.trim().split('\n').at(-1) ?? ''
  assert.match(invited.stdout, /[█▀▄]{5}/)
  assert.match((await owm(['mesh', 'join', invitation, '--data-dir', two])).stdout, /joined the mesh lab/)
  const listed = JSON.parse((await owm(['mesh', 'list', '--json', '--data-dir', two])).stdout) as {
    name: string
    default: boolean
  }[]
  assert.is(listed.find((mesh) => mesh.default)?.name, 'lab')
  assert.is((await owm(['mesh', 'join', `${invitation.slice(0, -4)}aaaa`, '--data-dir', two])).code, 65)
})

test.run()
