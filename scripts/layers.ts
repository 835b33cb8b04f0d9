/** Fails on an import that goes up, or beside, in the house: floors and exceptions as in `src/README.md`. */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

const floors: Readonly<Record<string, number>> = {
  lib: 0,
  observability: 0,
  config: 1,
  identity: 1,
  network: 2,
  onnx: 3,
  content: 3,
  manifests: 3,
  provenance: 3,
  coordinator: 4,
  bus: 4,
  training: 5,
  federation: 5,
  inference: 5,
  lightning: 5,
  stake: 5,
  pool: 5,
  data: 5,
  community: 5,
  github: 5,
  gateway: 6,
  dashboard: 6,
  control: 6,
  'node.ts': 7,
  cli: 7,
}
/** Rooms on one floor that may be imported from beside. */
const beside: ReadonlySet<string> = new Set([
  'observability->lib',
  'federation->training',
  'stake->lightning',
  'pool->lightning',
  'cli->node.ts',
  'gateway->dashboard',
])

const problems: string[] = []
for (const file of globSync('src/**/*.ts').sort()) {
  const room = roomOf(file)
  if (floors[room] === undefined) problems.push(`${file}: no floor is given for the room ${room}`)
  for (const [, specifier] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)) {
    if (specifier === undefined || !specifier.startsWith('.')) continue
    const target = normalize(join(dirname(file), specifier))
    const other = roomOf(target)
    if (other === room) continue
    if (!target.startsWith('src/')) problems.push(`${file}: imports ${target}, outside src/`)
    else if (floors[other] === undefined) problems.push(`${file}: imports ${other}, which has no floor`)
    else if (floors[other] > (floors[room] ?? 0)) problems.push(`${file}: imports ${other}, which is above ${room}`)
    else if (floors[other] === floors[room] && !beside.has(`${room}->${other}`)) {
      problems.push(`${file}: imports ${other}, which is beside ${room}`)
    } else if (target !== `src/${other}/index.ts` && target !== `src/${other}`) {
      problems.push(`${file}: imports ${target}; a room is entered by its index.ts`)
    }
  }
}
for (const problem of problems) console.error(problem)
console.log(problems.length === 0 ? 'layers: every import goes down' : `layers: ${problems.length} wrong imports`)
process.exit(problems.length === 0 ? 0 : 1)

function roomOf(path: string): string {
  return path.split('/')[1] ?? path
}
