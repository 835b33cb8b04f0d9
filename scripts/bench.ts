/** Runs one benchmark: `npm run bench -- NAME [ARGUMENTS]`. Its last line is `{"bench":NAME,"figures":{...}}`. */
import { globSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const [name, ...rest] = process.argv.slice(2)
const names = globSync('test/bench/*.bench.ts').map((file) => basename(file, '.bench.ts'))
if (name === undefined || !names.includes(name)) {
  console.error(`usage: npm run bench -- NAME\nbenchmarks: ${names.sort().join(', ')}`)
  process.exit(64)
}
const module = (await import(pathToFileURL(resolve(`test/bench/${name}.bench.ts`)).href)) as {
  run: (args: readonly string[]) => Promise<Readonly<Record<string, unknown>>>
}
console.log(JSON.stringify({ bench: name, figures: await module.run(rest) }))
process.exit()
