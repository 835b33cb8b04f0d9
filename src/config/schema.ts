import { z } from 'zod'
import {
  address,
  columnName,
  extension,
  folder,
  hostAndPort,
  integer,
  list,
  meshName,
  oneOf,
  peerAddress,
  peerId,
  runName,
  text,
  wordsOrList,
  yesOrNo,
} from './key.ts'

const mebibyte = 1024 * 1024

/** Every section and every key of `owm.toml`. The example file, the reference, the variables and the flags follow from it. */
export const configSchema = z.strictObject({
  peer: z
    .strictObject({
      dataDir: text(folder, {
        default: '~/.owm',
        doc: 'Where the peer keeps its identity, its meshes and everything it stores. One peer at a time.',
      }),
      tierOverride: oneOf(['auto', 't1', 't2', 't3'], {
        default: 'auto',
        doc: 'The tier that the peer announces. "auto" takes it from the hardware and the bandwidth that were measured.',
      }),
      mesh: text(meshName, {
        default: '',
        doc: 'The mesh to take part in, by id or name. Empty: the private mesh that you joined last, else the public one.',
      }),
    })
    .describe('The peer as a whole.'),

  network: z
    .strictObject({
      preset: oneOf(['auto', 'public', 'private', 'test'], {
        default: 'auto',
        doc: 'How cautious the peer is. "auto" takes "public" in the public mesh and "private" in a private one; "test" is for many peers on one machine.',
      }),
      listen: list(address, {
        default: ['/ip4/0.0.0.0/tcp/4242', '/ip4/0.0.0.0/tcp/4243/ws'],
        doc: 'Where other peers can connect: TCP and WebSocket. While this is not set, a port that is taken is replaced by a free one.',
      }),
      announce: list(address, {
        default: [],
        doc: 'Addresses that are announced in place of those found out. For peers behind a port forwarding or a proxy.',
      }),
      bootstrap: list(peerAddress, {
        default: [],
        doc: 'Peers to connect to first, beside those that the mesh names.',
      }),
      mdns: yesOrNo({ default: true, doc: 'Whether peers on the local network are found by multicast DNS.' }),
      relayClient: yesOrNo({
        default: true,
        doc: 'Whether the peer can be reached through relays while it is behind a NAT.',
      }),
      relayServer: yesOrNo({
        default: false,
        doc: 'Whether the peer relays for others. It needs a public address and spends bandwidth.',
      }),
      // js-libp2p's own default; a bootstrap peer wants more.
      maxConnections: integer({
        unit: 'connections',
        min: 8,
        max: 65_535,
        default: 300,
        doc: 'Connections held at once. Beyond it the least useful are closed.',
      }),
    })
    .describe('How the peer reaches others, and others reach it.'),

  http: z
    .strictObject({
      listen: text(hostAndPort, {
        default: '127.0.0.1:8080',
        doc: 'Where health, metrics, the gateway and the dashboard are served. While this is not set, a port that is taken is replaced by a free one.',
      }),
    })
    .describe(
      'The one HTTP server of the peer. It speaks plain HTTP: put a proxy with TLS before it to open it to others.',
    ),

  gateway: z
    .strictObject({
      enabled: yesOrNo({
        default: false,
        doc: 'Whether the peer answers questions over HTTP, for OpenAI clients as well.',
      }),
    })
    .describe('Answers over HTTP from the newest certified checkpoint.'),

  dashboard: z
    .strictObject({
      enabled: yesOrNo({
        default: true,
        doc: 'Whether the page is served. It is a part of the gateway and off without it.',
      }),
    })
    .describe('A page that shows the mesh, the runs and the checkpoints.'),

  manifest: z
    .strictObject({
      intervalMs: integer({
        unit: 'milliseconds',
        min: 1000,
        max: 240_000,
        default: 60_000,
        doc: 'How often the peer says what it can do. It also does so on every change.',
      }),
      ttlMs: integer({
        unit: 'milliseconds',
        min: 2000,
        // The longest life that the protocol grants a manifest.
        max: 300_000,
        default: 150_000,
        doc: 'How long others believe it. Longer than interval_ms, so that one lost message is no leave.',
      }),
      measureBandwidth: yesOrNo({
        default: true,
        doc: 'Whether bandwidth is measured to a neighbour every ten minutes, up to 8 MiB each way.',
      }),
    })
    .describe('What the peer tells others of itself.'),

  training: z
    .strictObject({
      enabled: yesOrNo({
        default: true,
        doc: 'Whether the peer trains. It needs data, and never sends any of it away.',
      }),
      data: list(folder, {
        default: [],
        doc: 'Files and folders to learn from: text, images, tables (see docs/data.md). Without any, the peer serves and votes, and does not train.',
      }),
      extensions: list(extension, {
        default: ['.md', '.txt', '.js', '.mjs', '.cjs', '.ts', '.mts', '.cts', '.py', '.rs', '.go', '.c', '.h'],
        doc: 'The files of text below those folders that are read.',
      }),
      maxDataBytes: integer({
        unit: 'bytes',
        min: 4096,
        max: 4096 * mebibyte,
        default: 64 * mebibyte,
        doc: 'How much text is read at most; it is held in memory.',
      }),
      shards: yesOrNo({
        default: false,
        doc: 'Whether each file or folder is the data of another client: a round is then trained on one of them, drawn anew.',
      }),
      target: text(columnName, {
        default: '',
        doc: 'Of a table: the column to be told from the others. Empty: one called target, label, class or y, else the last.',
      }),
      threads: integer({
        unit: 'threads',
        min: 1,
        max: 256,
        default: 1,
        doc: 'Processor threads that a training step uses.',
      }),
      join: wordsOrList(['all', 'none'], runName, {
        default: 'all',
        doc: 'The runs that the peer takes part in.',
      }),
      owners: list(peerId, {
        default: [],
        doc: 'The peers whose runs are joined and answered from, beside your own. Empty: in a private mesh everybody, in the public mesh nobody.',
      }),
    })
    .describe('Learning from your own text.'),

  content: z
    .strictObject({
      maxBytes: integer({
        unit: 'bytes',
        min: 16 * mebibyte,
        max: Number.MAX_SAFE_INTEGER,
        default: 10 * 1024 * mebibyte,
        doc: 'How much the content store may hold. When it is full, nothing more is stored.',
      }),
    })
    .describe('Models and updates that are kept on disk.'),

  log: z
    .strictObject({
      level: oneOf(['debug', 'info', 'warn', 'error'], { default: 'info', doc: 'The least that is logged.' }),
      format: oneOf(['auto', 'text', 'json'], {
        default: 'auto',
        doc: '"text" is for people, "json" has one object a line. "auto" is text on a terminal and JSON otherwise.',
      }),
    })
    .describe('What the peer writes to standard error.'),
})

type Values = z.infer<typeof configSchema>

/** A validated setting of every key. */
export type ConfigValues = {
  readonly [S in keyof Values]: { readonly [K in keyof Values[S]]: AsReadonly<Values[S][K]> }
}
type AsReadonly<T> = T extends (infer Item)[] ? readonly Item[] : T

/** As written in `owm.toml` and after `--set`: `network.max_connections`. */
export type SettingName = {
  [S in keyof Values & string]: `${S}.${SnakeCase<keyof Values[S] & string>}`
}[keyof Values & string]
type SnakeCase<Name extends string> = Name extends `${infer Head}${infer Tail}`
  ? Head extends Lowercase<Head>
    ? `${Head}${SnakeCase<Tail>}`
    : `_${Lowercase<Head>}${SnakeCase<Tail>}`
  : Name
