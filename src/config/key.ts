import { multiaddr } from '@multiformats/multiaddr'
import { z } from 'zod'

/** What is known of a key beside the type of its value. */
export interface KeyDoc {
  readonly doc: string
  /** Ends the sentence "KEY must be …". */
  readonly expects: string
  /** Whether it names files or folders: `~` is the home folder, and relative ones begin where the setting stands. */
  readonly path: boolean
  /** Reads the value out of a variable or a flag. Text that is none is handed on, for the schema to refuse. */
  readonly fromText: (text: string) => unknown
}

export const keyDocs = z.registry<KeyDoc>()

type Common<T> = { readonly default: T; readonly doc: string }

export function integer(init: Common<number> & { readonly unit: string; readonly min: number; readonly max: number }) {
  return z
    .int()
    .min(init.min)
    .max(init.max)
    .default(init.default)
    .register(keyDocs, {
      doc: init.doc,
      expects: `a whole number of ${init.unit} from ${init.min} to ${init.max}`,
      path: false,
      fromText: (text) => (/^\d+(_\d+)*$/.test(text) ? Number(text.replaceAll('_', '')) : text),
    })
}

export function yesOrNo(init: Common<boolean>) {
  return z
    .boolean()
    .default(init.default)
    .register(keyDocs, {
      doc: init.doc,
      expects: 'true or false',
      path: false,
      fromText: (text) => (text === 'true' ? true : text === 'false' ? false : text),
    })
}

export function oneOf<const T extends readonly [string, ...string[]]>(
  values: T,
  init: { readonly default: T[number]; readonly doc: string },
) {
  return z
    .enum(values)
    .default(init.default as z.output<z.ZodEnum<{ [K in T[number]]: K }>> & string)
    .register(keyDocs, {
      doc: init.doc,
      expects: `one of ${values.map((value) => `"${value}"`).join(', ')}`,
      path: false,
      fromText: (text) => text,
    })
}

/** One kind of text: how it is checked and called. */
export interface TextKind {
  readonly expects: string
  readonly listExpects: string
  readonly path: boolean
  readonly isValid: (text: string) => boolean
}

export function text(kind: TextKind, init: Common<string>) {
  return z
    .string()
    .refine(kind.isValid)
    .default(init.default)
    .register(keyDocs, { doc: init.doc, expects: kind.expects, path: kind.path, fromText: (value) => value })
}

export function list(kind: TextKind, init: Common<string[]>) {
  return z
    .array(z.string().refine(kind.isValid))
    .max(maxListItems)
    .default(init.default)
    .register(keyDocs, { doc: init.doc, expects: kind.listExpects, path: kind.path, fromText: listOf })
}

/** One of two words, or a list. */
export function wordsOrList<const W extends readonly [string, ...string[]]>(
  words: W,
  kind: TextKind,
  init: { readonly default: W[number]; readonly doc: string },
) {
  return z
    .union([z.enum(words), z.array(z.string().refine(kind.isValid)).max(maxListItems)])
    .default(init.default as never)
    .register(keyDocs, {
      doc: init.doc,
      expects: `${words.map((word) => `"${word}"`).join(', ')}, or ${kind.listExpects}`,
      path: kind.path,
      fromText: (value) => (words.includes(value) ? value : listOf(value)),
    })
}

/** More than anyone needs, and few enough to print. */
const maxListItems = 1024

function listOf(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

export const folder: TextKind = {
  expects: 'the path of a folder',
  listExpects: 'a list of folders',
  path: true,
  isValid: (value) => value !== '' && !value.includes('\0'),
}

export const address: TextKind = {
  expects: 'a multiaddr such as "/ip4/0.0.0.0/tcp/4242"',
  listExpects: 'a list of multiaddrs such as ["/ip4/0.0.0.0/tcp/4242"]',
  path: false,
  isValid: (value) => componentsOf(value) !== undefined,
}

export const peerAddress: TextKind = {
  expects: 'a multiaddr that ends in /p2p/ and a peer id',
  listExpects: 'a list of multiaddrs that end in /p2p/ and a peer id',
  path: false,
  isValid: (value) => componentsOf(value)?.at(-1) === 'p2p',
}

export const hostAndPort: TextKind = {
  expects: 'a host and a port such as "127.0.0.1:8080" or "[::1]:8080"',
  listExpects: 'a list of hosts and ports',
  path: false,
  isValid: (value) => hostAndPortOf(value) !== undefined,
}

/** `[::1]:8080` -> `::1` and 8080. Port 0 asks for a free one. */
export function hostAndPortOf(value: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(value)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host !== undefined && port <= 65_535 ? { host, port } : undefined
}

export const extension: TextKind = {
  expects: 'a file extension such as ".md"',
  listExpects: 'a list of file extensions such as [".md", ".ts"]',
  path: false,
  isValid: (value) => /^\.[A-Za-z0-9.+_-]{1,32}$/.test(value),
}

/** A mesh is known by its id or by the name that its maker gave it. An invitation is longer, and has colons or slashes. */
export const meshName: TextKind = {
  expects: 'the id or the name of a mesh that you joined, or ""',
  listExpects: 'a list of meshes',
  path: false,
  isValid: (value) => /^[\p{L}\p{N} ._-]{0,64}$/u.test(value),
}

export const peerId: TextKind = {
  expects: 'a peer id',
  listExpects: 'a list of peer ids such as ["12D3KooW..."]',
  path: false,
  isValid: (value) => /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/.test(value),
}

export const columnName: TextKind = {
  expects: 'the name of a column',
  listExpects: 'a list of names of columns',
  path: false,
  isValid: (value) => value.length <= 256,
}

export const runName: TextKind = {
  expects: 'the id or the name of a run',
  listExpects: 'a list of ids or names of runs',
  path: false,
  isValid: (value) => /^[\p{L}\p{N} ._-]{1,128}$/u.test(value),
}

function componentsOf(value: string): string[] | undefined {
  try {
    return multiaddr(value)
      .getComponents()
      .map((component) => component.name)
  } catch {
    return undefined
  }
}
