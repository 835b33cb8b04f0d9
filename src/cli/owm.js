#!/usr/bin/env node
// The default export, so that an older Node gets as far as the sentence below.
import nodeModule from 'node:module'
import { setFlagsFromString } from 'node:v8'

const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  process.stderr.write(
    `owm: needs Node 24 or newer, and this is ${process.versions.node}. In a checkout: npm ci && npx owm\n`,
  )
  process.exit(78)
}
// A peer holds little and lives long: small young generations keep it small.
setFlagsFromString('--max-semi-space-size=1')
nodeModule.enableCompileCache()

const { main } = await import('./main.ts')
await main(process.argv.slice(2))
