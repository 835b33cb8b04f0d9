/** Writes `protocols/manifests/vectors/`: run it when the wire changes, and read what it changed. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { encode, toHex } from '../../src/lib/index.ts'
import { body, fields, manifest, meshId, nowMs, signedDocument, testAuthor } from './documents.ts'

interface VectorKnown {
  readonly sequence: number
  readonly document?: string
  readonly quietUntilMs: number
}
const author = testAuthor(1)
const other = testAuthor(2)
const folder = 'protocols/manifests/vectors'
rmSync(folder, { recursive: true, force: true })

function write(kind: 'valid' | 'invalid', name: string, content: Record<string, unknown>): void {
  mkdirSync(`${folder}/${kind}`, { recursive: true })
  writeFileSync(`${folder}/${kind}/${name}.json`, `${JSON.stringify({ mesh: meshId, nowMs, ...content }, null, 2)}\n`)
}
function valid(name: string, why: string, document: Uint8Array, known?: VectorKnown): void {
  write('valid', name, { why, ...(known && { known }), document: toHex(document), expect: { verdict: 'accept' } })
}
function invalid(
  name: string,
  why: string,
  verdict: 'ignore' | 'reject',
  code: string,
  document: Uint8Array,
  known?: VectorKnown,
): void {
  write('invalid', name, { why, ...(known && { known }), document: toHex(document), expect: { verdict, code } })
}
const wrongBody = (changes: Record<string, unknown>): Uint8Array => manifest(author, { body: { ...body, ...changes } })
const cid = `b${'a'.repeat(58)}`

const plain = manifest(author)
valid('cpu-only', 'the least that a peer can say', plain)
valid(
  'full',
  'GPU, gateway, prices, models and addresses',
  manifest(author, {
    body: {
      ...body,
      tier: 't3',
      cpuOnly: false,
      cores: 128,
      ramBytes: 512e9,
      vramBytes: 85_520_809_984,
      upBitsPerSecond: 1_000_000_000,
      downBitsPerSecond: 940_000_000,
      loadPermille: 1000,
      capabilities: [
        { name: 'fl_round', version: '1.0', priceMsat: 0 },
        { name: 'inference', version: '1.0', priceMsat: 2500 },
      ],
      models: [{ name: 'owm-code', checkpoint: cid, round: 12 }],
      addresses: ['/ip4/192.0.2.7/tcp/4001', '/dns4/peer.example/tcp/443/wss'],
      gateway: 'https://peer.example:8080',
    },
  }),
)
valid('farewell', 'a life of 0 and no body: the peer leaves', manifest(author, { expiresMs: nowMs, body: null }))
valid(
  'clock-ahead-30s',
  'rule 8 allows 30 s',
  manifest(author, { issuedMs: nowMs + 30_000, expiresMs: nowMs + 60_000 }),
)
valid('longest-life', 'rule 7 allows 300 s', manifest(author, { expiresMs: nowMs + 300_000 }))
valid('higher-sequence', 'one above what is known', manifest(author, { sequence: 8 }), {
  sequence: 7,
  document: toHex(manifest(author, { sequence: 7 })),
  quietUntilMs: nowMs,
})

invalid('oversized', 'rule 1: 4,097 bytes', 'reject', 'oversized', new Uint8Array(4097))
invalid('empty', 'rule 2', 'reject', 'malformed', new Uint8Array(0))
invalid('truncated', 'rule 2', 'reject', 'malformed', plain.subarray(0, -1))
invalid('trailing-byte', 'rule 2', 'reject', 'malformed', new Uint8Array([...plain, 0]))
invalid('not-a-map', 'rule 2', 'reject', 'malformed', encode([plain]))
invalid('deep-nesting', 'rule 2: 4,000 arrays in each other', 'reject', 'malformed', new Uint8Array(4000).fill(0x81))
invalid(
  'short-author',
  'rule 2: a key of 31 bytes',
  'reject',
  'malformed',
  encode({ payload: encode(fields()), author: new Uint8Array(31), signature: new Uint8Array(64) }),
)
invalid(
  'short-signature',
  'rule 2: 63 bytes',
  'reject',
  'malformed',
  encode({ payload: encode(fields()), author: author.publicKey, signature: new Uint8Array(63) }),
)
invalid(
  'extra-field-outside',
  'rule 2: a fourth field beside payload, author and signature',
  'reject',
  'malformed',
  encode({ payload: encode(fields()), author: author.publicKey, signature: new Uint8Array(64), more: 1 }),
)
const longInteger = Buffer.concat([Buffer.from(encode(fields({ contract: 1 })))])
const contractAt = longInteger.indexOf('hcontract') + 'hcontract'.length
invalid(
  'non-canonical-integer',
  'rule 3: 1 in two bytes',
  'reject',
  'malformed',
  signedDocument(
    author,
    Buffer.concat([longInteger.subarray(0, contractAt), Buffer.from([0x18, 1]), longInteger.subarray(contractAt + 1)]),
  ),
)
invalid(
  'duplicate-key',
  'rule 3: "mesh" twice',
  'reject',
  'malformed',
  signedDocument(author, Buffer.concat([Buffer.from('a2646d6573686161646d6573686162', 'hex')])),
)
invalid('payload-not-cbor', 'rule 3', 'reject', 'malformed', signedDocument(author, Buffer.from('hello, mesh')))
invalid('unknown-contract', 'rule 4', 'ignore', 'unknown_contract', manifest(author, { contract: 2 }))
invalid('no-contract', 'rule 4', 'reject', 'schema_mismatch', signedDocument(author, encode({ mesh: meshId })))
invalid('sequence-zero', 'rule 5', 'reject', 'schema_mismatch', manifest(author, { sequence: 0 }))
invalid(
  'sequence-2-63',
  'rule 5: over 2^53 - 1',
  'reject',
  'schema_mismatch',
  manifest(author, { sequence: 2n ** 63n }),
)
invalid('sequence-float', 'rule 5', 'reject', 'schema_mismatch', manifest(author, { sequence: 1.5 }))
invalid('negative-time', 'rule 5', 'reject', 'schema_mismatch', manifest(author, { issuedMs: -1 }))
invalid(
  'extra-header-field',
  'rule 5',
  'reject',
  'schema_mismatch',
  signedDocument(author, encode({ ...fields(), note: 'x' })),
)
invalid('wrong-mesh', 'rule 6', 'reject', 'wrong_mesh', manifest(author, { mesh: 'othermesh' }))
invalid('life-too-long', 'rule 7', 'reject', 'ttl_too_long', manifest(author, { expiresMs: nowMs + 300_001 }))
invalid('ends-before-it-begins', 'rule 7', 'reject', 'schema_mismatch', manifest(author, { expiresMs: nowMs - 1 }))
invalid(
  'issued-in-future',
  'rule 8: 30,001 ms ahead',
  'ignore',
  'issued_in_future',
  manifest(author, { issuedMs: nowMs + 30_001, expiresMs: nowMs + 60_000 }),
)
invalid(
  'expired',
  'rule 9: ends now',
  'ignore',
  'expired',
  manifest(author, { issuedMs: nowMs - 60_000, expiresMs: nowMs }),
)
invalid(
  'old-farewell',
  'rule 9: a farewell ends after 300 s',
  'ignore',
  'expired',
  manifest(author, { issuedMs: nowMs - 300_000, expiresMs: nowMs - 300_000, body: null }),
)
invalid('lower-sequence', 'rule 10', 'ignore', 'stale_sequence', manifest(author, { sequence: 6 }), {
  sequence: 7,
  document: toHex(manifest(author, { sequence: 7 })),
  quietUntilMs: nowMs,
})
invalid('replayed', 'rule 10: the very same document', 'ignore', 'stale_sequence', plain, {
  sequence: nowMs,
  document: toHex(plain),
  quietUntilMs: nowMs,
})
invalid('replayed-after-leave', 'rule 10: only the sequence is remembered', 'ignore', 'stale_sequence', plain, {
  sequence: nowMs,
  quietUntilMs: nowMs,
})
invalid('author-too-fast', 'rule 11', 'ignore', 'author_rate', manifest(author, { sequence: 8 }), {
  sequence: 7,
  document: toHex(manifest(author, { sequence: 7 })),
  quietUntilMs: nowMs + 1,
})
invalid('agent-not-text', 'rule 12', 'reject', 'schema_mismatch', manifest(author, { body: { ...body, agent: 1 } }))
const { cores: _, ...withoutCores } = body
invalid('missing-body-field', 'rule 12', 'reject', 'schema_mismatch', manifest(author, { body: withoutCores }))
invalid('extra-body-field', 'rule 12', 'reject', 'schema_mismatch', wrongBody({ bribe: 21 }))
invalid('unknown-tier', 'rule 12', 'reject', 'schema_mismatch', wrongBody({ tier: 't4' }))
invalid(
  'negative-price',
  'rule 12',
  'reject',
  'schema_mismatch',
  wrongBody({ capabilities: [{ name: 'x', version: '1', priceMsat: -1 }] }),
)
invalid('load-over-1000', 'rule 12', 'reject', 'schema_mismatch', wrongBody({ loadPermille: 1001 }))
invalid(
  'terminal-escape',
  'rule 12: control characters',
  'reject',
  'schema_mismatch',
  wrongBody({ agent: '\u001b[2J' }),
)
invalid('script-gateway', 'rule 12', 'reject', 'schema_mismatch', wrongBody({ gateway: 'javascript:alert(1)' }))
invalid(
  'bad-checkpoint',
  'rule 12',
  'reject',
  'schema_mismatch',
  wrongBody({ models: [{ name: 'm', checkpoint: '../..', round: 1 }] }),
)
invalid('relative-address', 'rule 12', 'reject', 'schema_mismatch', wrongBody({ addresses: ['192.0.2.7'] }))
invalid(
  '17-addresses',
  'rule 12',
  'reject',
  'schema_mismatch',
  wrongBody({ addresses: Array(17).fill('/ip4/192.0.2.7') }),
)
invalid('body-of-a-farewell', 'rule 12', 'reject', 'schema_mismatch', manifest(author, { expiresMs: nowMs }))
invalid('no-body', 'rule 12', 'reject', 'schema_mismatch', manifest(author, { body: null }))

const flipped = new Uint8Array(plain)
flipped[flipped.length - 1]! ^= 1
invalid('flipped-signature', 'rule 13', 'reject', 'invalid_signature', flipped)
invalid('other-domain', 'rule 13', 'reject', 'invalid_signature', signedDocument(author, encode(fields()), 'receipt'))
invalid(
  'other-author',
  'rule 13: signed by another key',
  'reject',
  'invalid_signature',
  signedDocument({ publicKey: author.publicKey, key: other.key }, encode(fields())),
)
const twin = manifest(author, { body: { ...body, loadPermille: 251 } })
invalid('equivocation', 'rule 14: two documents with one sequence', 'ignore', 'equivocation', twin, {
  sequence: nowMs,
  document: toHex(plain),
  quietUntilMs: nowMs,
})
invalid(
  'forged-equivocation',
  'rule 13 comes before 14: nobody else can make an author look false',
  'reject',
  'invalid_signature',
  signedDocument(
    { publicKey: author.publicKey, key: other.key },
    encode(fields({ body: { ...body, loadPermille: 251 } })),
  ),
  { sequence: nowMs, document: toHex(plain), quietUntilMs: nowMs },
)
