import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import {
  type Config,
  hostAndPortOf,
  type LoadOptions,
  loadConfig,
  parseSetting,
  settings,
} from '../../src/config/index.ts'
import type { OwmError } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'

const test = suite('configuration')
const root = mkdtempSync(join(tmpdir(), 'owm-config-'))
test.after(() => rmSync(root, { recursive: true }))
const home = join(root, 'home')
mkdirSync(home)
let serial = 0

const peerId = '12D3KooWNqukMbEedba4xztigHEJgjLaT7WYVm3RHDfiwRr14L8J'

test('without any file the defaults hold', () => {
  const config = load({})
  assert.is(config.file, null)
  assert.is(config.peer.dataDir, join(home, '.owm'))
  assert.is(config.peer.tierOverride, 'auto')
  assert.equal(config.network.listen, ['/ip4/0.0.0.0/tcp/4242', '/ip4/0.0.0.0/tcp/4243/ws'])
  assert.is(config.network.mdns, true)
  assert.is(config.network.relayServer, false)
  assert.is(config.http.listen, '127.0.0.1:8080')
  assert.is(config.gateway.enabled, false)
  assert.is(config.manifest.intervalMs, 60_000)
  assert.is(config.manifest.ttlMs, 150_000)
  assert.equal(config.training.data, [])
  assert.is(config.training.join, 'all')
  for (const { name } of settings) assert.equal(config.sources[name], { from: 'default' })
})

test('flags win over variables, variables over the file, the file over defaults', () => {
  const file = fileOf('[manifest]\ninterval_ms = 2_000\nttl_ms = 5000\n\n[log]\nlevel = "warn"\n')
  const env = { OWM_MANIFEST_TTL_MS: '6000', OWM_LOG_LEVEL: 'error' }
  const config = load({ file, env, flags: { 'log.level': 'debug', 'log.format': undefined } })
  assert.equal(config.manifest, { intervalMs: 2000, ttlMs: 6000, measureBandwidth: true })
  assert.is(config.log.level, 'debug')
  assert.is(config.file, file)
  assert.equal(config.sources['manifest.interval_ms'], { from: 'file', file, line: 2 })
  assert.equal(config.sources['manifest.ttl_ms'], { from: 'environment', variable: 'OWM_MANIFEST_TTL_MS' })
  assert.equal(config.sources['log.level'], { from: 'flag' })
  assert.equal(config.sources['log.format'], { from: 'default' })
})

test('each kind of value is read from variables and flags', () => {
  const env = {
    OWM_NETWORK_LISTEN: '/ip4/127.0.0.1/tcp/0, /ip4/127.0.0.1/tcp/0/ws',
    OWM_NETWORK_MDNS: 'false',
    OWM_NETWORK_MAX_CONNECTIONS: '1_000',
    OWM_TRAINING_JOIN: 'owm-code,owm-geo',
  }
  const config = load({
    env,
    flags: { 'network.relay_server': true, 'http.listen': '[::1]:0', 'training.extensions': '' },
  })
  assert.equal(config.network.listen, ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'])
  assert.is(config.network.mdns, false)
  assert.is(config.network.maxConnections, 1000)
  assert.equal(config.training.join, ['owm-code', 'owm-geo'])
  assert.is(config.network.relayServer, true)
  assert.is(config.http.listen, '[::1]:0')
  assert.equal(config.training.extensions, [])
  assert.is(load({ env: { OWM_TRAINING_JOIN: 'none' } }).training.join, 'none')
  assert.equal(load({ file: fileOf('[training]\njoin = ["a b"]') }).training.join, ['a b'])
})

test('every key can be set by its variable and by its flag', () => {
  for (const { name, variable, default: value } of settings) {
    const text = Array.isArray(value) ? value.join(',') : String(value)
    assert.equal(load({ env: { [variable]: text } }).sources[name], { from: 'environment', variable })
    assert.equal(load({ flags: { [name]: text } }).sources[name], { from: 'flag' })
  }
})

test('paths begin at home, at the folder of the file, or where the command was given', () => {
  const file = fileOf('[peer]\ndata_dir = "data"\n[training]\ndata = ["~/notes", "/srv/text", "../books"]\n')
  const config = load({ file })
  assert.is(config.peer.dataDir, join(file, '..', 'data'))
  assert.equal(config.training.data, [join(home, 'notes'), '/srv/text', join(file, '../../books')])
  assert.is(load({ env: { OWM_PEER_DATA_DIR: 'd' }, cwd: '/srv' }).peer.dataDir, '/srv/d')
  assert.is(load({ flags: { 'peer.data_dir': '~' } }).peer.dataDir, home)
})

test('the file in the data directory is read when no other is named', () => {
  const dataDir = join(root, 'data-dir')
  mkdirSync(dataDir)
  writeFileSync(join(dataDir, 'owm.toml'), '[log]\nlevel = "debug"\n')
  for (const options of [
    { env: { OWM_DATA_DIR: dataDir } },
    { env: { OWM_PEER_DATA_DIR: dataDir, OWM_DATA_DIR: '/elsewhere' } },
    { env: { OWM_DATA_DIR: '/elsewhere' }, flags: { 'peer.data_dir': dataDir } },
  ]) {
    const config = load(options)
    assert.is(config.log.level, 'debug')
    assert.is(config.peer.dataDir, dataDir)
  }
  const named = fileOf('[log]\nlevel = "warn"\n')
  assert.is(load({ env: { OWM_DATA_DIR: dataDir, OWM_CONFIG: named } }).log.level, 'warn')
  assert.is(load({ file: named, env: { OWM_CONFIG: '/not/there' } }).log.level, 'warn')
})

test('a file that was named must be there and be text', () => {
  assert.match(refusal({ file: join(root, 'none.toml') }), /There is no configuration file .*none\.toml/)
  assert.match(refusal({ env: { OWM_CONFIG: join(root, 'none.toml') } }), /There is no configuration file/)
  assert.match(refusal({ file: root }), /is a folder/)
  const binary = fileOf('')
  writeFileSync(binary, new Uint8Array([0x61, 0xff, 0xfe]))
  assert.match(refusal({ file: binary }), /is not UTF-8 text/)
  writeFileSync(binary, '#'.repeat(1024 * 1024 + 1))
  assert.match(refusal({ file: binary }), /too large/)
})

test('an unknown key is named with its line and the nearest one', () => {
  const cases: readonly [string, RegExp][] = [
    [
      '# a\n\n[network]\nmdns = true\nlistn = []\n',
      /line 5: there is no key listn in \[network\]; did you mean listen in \[network\]\?$/,
    ],
    ['[netwrok]\nmdns = true\n', /line 1: there is no section \[netwrok\]; did you mean \[network\]\?$/],
    [
      '\ndata_dir = "x"\n',
      /line 2: there is no key data_dir outside of a section; did you mean data_dir in \[peer\]\?$/,
    ],
    ['[peer]\nmdns = false\n', /line 2: there is no key mdns in \[peer\]; did you mean mdns in \[network\]\?$/],
    [
      '[manifest]\nintervalMs = 5000\n',
      /line 2: there is no key intervalMs in \[manifest\]; did you mean interval_ms in \[manifest\]\?$/,
    ],
    ['network.mdsn = true\n', /line 1: there is no key mdsn in \[network\]; did you mean mdns in \[network\]\?$/],
    ['log = { levle = "info" }\n', /line 1: there is no key levle in \[log\]; did you mean level in \[log\]\?$/],
    [
      '[network]\nlisten = [\n  # [peer]\n  "/ip4/127.0.0.1/tcp/1", # x = 1\n]\n"mdnss" = true\n',
      /line 6: there is no key mdnss/,
    ],
    ['[log.level]\nx = 1\n', /line 1: level in \[log\] must be one of "debug"/],
    ['peer = 3\n', /line 1: peer is a section; write \[peer\]\.$/],
    ['[[peer]]\nmesh = ""\n', /line 1: peer is a section/],
    ['[peer]\n__proto__ = 1\n', /line 2: there is no key __proto__ in \[peer\]/],
    ['[peer]\nmesh = ""\n\n[peer.constructor]\n', /line 4: there is no key constructor in \[peer\]/],
  ]
  for (const [toml, expected] of cases) assert.match(refusal({ file: fileOf(toml) }), expected)
})

test('a wrong value is named with its line and what is expected', () => {
  const cases: readonly [string, RegExp][] = [
    [
      '[manifest]\ninterval_ms = 5\n',
      /line 2: interval_ms in \[manifest\] must be a whole number of milliseconds from 1000 to 240000, not 5\.$/,
    ],
    ['[manifest]\ninterval_ms = 1500.5\n', /must be a whole number .*, not 1500\.5\.$/],
    ['[manifest]\ninterval_ms = "60s"\n', /line 2: interval_ms in \[manifest\] must be a whole number of milliseconds/],
    ['[manifest]\ninterval_ms = 2026-01-01\n', /must be a whole number of milliseconds/],
    ['[network]\nmdns = "yes"\n', /line 2: mdns in \[network\] must be true or false\.$/],
    ['[network]\nlisten = "/ip4/0.0.0.0/tcp/1"\n', /must be a list of multiaddrs/],
    [
      '[network]\nlisten = ["/ip4/0.0.0.0/tcp/1", "0.0.0.0:4242"]\n',
      /must be a list of multiaddrs.*; item 2 is not\.$/,
    ],
    [
      '[network]\nbootstrap = ["/ip4/10.0.0.1/tcp/4242"]\n',
      /must be a list of multiaddrs that end in \/p2p\/ and a peer id; item 1 is not\.$/,
    ],
    ['[log]\nlevel = "verbose"\n', /must be one of "debug", "info", "warn", "error"\.$/],
    ['[log]\nlevel = ["info"]\n', /must be one of .*, not a list\.$/],
    ['[http]\nlisten = "8080"\n', /must be a host and a port such as/],
    ['[http]\nlisten = "127.0.0.1:70000"\n', /must be a host and a port such as/],
    ['[peer]\ndata_dir = ""\n', /must be the path of a folder/],
    ['[training]\nextensions = ["md"]\n', /must be a list of file extensions.*item 1 is not/],
    ['[training]\njoin = "some"\n', /must be "all", "none", or a list of ids or names of runs\.$/],
  ]
  for (const [toml, expected] of cases) assert.match(refusal({ file: fileOf(toml) }), expected)
  assert.match(
    refusal({ env: { OWM_NETWORK_MDNS: '1' } }),
    /^The environment variable OWM_NETWORK_MDNS must be true or false\.$/,
  )
  assert.match(
    refusal({ flags: { 'training.threads': '0' } }),
    /^On the command line, training\.threads must be .* from 1 to 256, not 0\.$/,
  )
  const bootstrap = [`/ip4/10.0.0.1/tcp/4242/p2p/${peerId}`, `/dnsaddr/example.org/p2p/${peerId}`]
  assert.equal(load({ env: { OWM_NETWORK_BOOTSTRAP: bootstrap.join(',') } }).network.bootstrap, bootstrap)
})

test('keys that must fit each other', () => {
  assert.match(
    refusal({ file: fileOf('[manifest]\nttl_ms = 60000\n') }),
    /line 2: ttl_ms in \[manifest\] must be longer than interval_ms/,
  )
  assert.match(
    refusal({ env: { OWM_MANIFEST_INTERVAL_MS: '150000' } }),
    /OWM_MANIFEST_INTERVAL_MS must be shorter than ttl_ms/,
  )
})

test('wrong TOML is named with line and column, and nothing of the file is repeated', () => {
  const message = refusal({ file: fileOf('[peer]\nmesh = "a"\n\ntoken = hunter2secret\n') })
  assert.match(message, /line 4, column \d+: /)
  assert.not.match(message, /hunter2/)
  assert.match(refusal({ file: fileOf('[peer]\nmesh = "a"\nmesh = "b"\n') }), /line 3, column/)
  assert.match(refusal({ file: fileOf('[peer\n') }), /line 1, column/)
})

test('no message repeats a text that was given', () => {
  const secret = 'owm-invite:hunter2secret/key'
  for (const { name, variable } of settings) {
    for (const options of [
      { env: { [variable]: secret } },
      { flags: { [name]: secret } },
      { flags: { [name]: [secret] } },
    ]) {
      try {
        load(options)
      } catch (error) {
        assert.not.match((error as Error).message, /hunter2/)
      }
    }
  }
  assert.not.match(refusal({ env: { OWM_PEER_MESH: secret } }), /hunter2/)
})

test('variables and flags that are no setting', () => {
  assert.match(
    refusal({ env: { OWM_NETWORK_LISTN: 'x' } }),
    /^The environment variable OWM_NETWORK_LISTN is no setting; did you mean OWM_NETWORK_LISTEN\?$/,
  )
  assert.match(
    refusal({ flags: { 'network.listn': 'x' } }),
    /^On the command line: there is no key listn in \[network\]; did you mean listen/,
  )
  assert.match(refusal({ flags: { mdns: 'x' } }), /did you mean mdns in \[network\]/)
  load({ env: { OWM_TEST_ANYTHING: 'x', OWM_DEBUG: '1', OTHER: 'y', OWM_LOG_LEVEL: undefined } })
})

test('a setting on the command line', () => {
  assert.equal(parseSetting('network.mdns=false'), ['network.mdns', 'false'])
  assert.equal(parseSetting('peer.mesh = a=b'), ['peer.mesh', 'a=b'])
  assert.throws(
    () => parseSetting('network.mdns'),
    (error: OwmError) => error.code === 'bad_usage',
  )
  assert.equal(hostAndPortOf('[::1]:80'), { host: '::1', port: 80 })
  assert.equal(hostAndPortOf('localhost:0'), { host: 'localhost', port: 0 })
  assert.is(hostAndPortOf('::1:80'), undefined)
})

test.run()

function fileOf(toml: string): string {
  const folder = join(root, `file-${serial++}`)
  mkdirSync(folder)
  writeFileSync(join(folder, 'owm.toml'), toml)
  return join(folder, 'owm.toml')
}

function load(options: Partial<LoadOptions>): Config {
  return loadConfig({ ...options, env: { HOME: home, ...options.env } })
}

function refusal(options: Partial<LoadOptions>): string {
  try {
    load(options)
  } catch (error) {
    assert.is((error as OwmError).code, 'bad_config', String(error))
    return (error as OwmError).message
  }
  throw new Error('the configuration was taken')
}
