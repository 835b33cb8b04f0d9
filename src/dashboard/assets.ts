import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sha256Of, toHex } from '../lib/index.ts'

/** The page's own files, read once. An address carries its file's hash, so that a browser may keep it for ever. */
export interface Assets {
  url(name: string): string
  get(name: string): { readonly body: Uint8Array<ArrayBuffer>; readonly type: string } | undefined
}

const files: Readonly<Record<string, string>> = {
  'page.css': 'text/css; charset=utf-8',
  'page.js': 'text/javascript; charset=utf-8',
  'mesh.js': 'text/javascript; charset=utf-8',
  'ask.js': 'text/javascript; charset=utf-8',
  'mark.svg': 'image/svg+xml',
}

export function readAssets(): Assets {
  const held = new Map(
    Object.entries(files).map(([name, type]) => {
      const body = new Uint8Array(readFileSync(join(import.meta.dirname, 'assets', name)))
      return [name, { body, type, version: toHex(sha256Of(body)).slice(0, 12) }]
    }),
  )
  return {
    url: (name) => `/assets/${name}?v=${held.get(name)?.version ?? ''}`,
    get: (name) => held.get(name),
  }
}
