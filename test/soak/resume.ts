/**
 * `npx node test/soak/resume.ts [--kills 20]`: trainings that are killed with SIGKILL at random instants and gone on with
 * end in the same bits as ones that are left alone. Prints one JSON line; exit code 1 when one does not.
 */
import { parseArgs } from 'node:util'
import { killedRun } from '../training/killed-run.ts'

const { values } = parseArgs({ options: { kills: { type: 'string', default: '20' } } })
/** Text that stays as it is while the runs go on. */
const data = ['--data', 'node_modules/zod']
const runs: Readonly<Record<string, readonly string[]>> = {
  gpt: [...data, '--model', 'gpt:tiny', '--context', '64', '--steps', '1500', '--measurements', '3'],
  lstm: [
    ...data,
    '--model',
    'lstm:hidden=32,layers=1',
    '--context',
    '20',
    '--steps',
    '1500',
    '--optimizer',
    'momentum',
  ],
}
const figures: Record<string, unknown> = {}
let whole = true
for (const [name, args] of Object.entries(runs)) {
  const { kills, resumedAt, identical } = await killedRun(args, Number(values.kills))
  console.error(`${name}: killed ${kills} times, resumed at ${resumedAt.join(', ')}, identical: ${identical}`)
  figures[name] = { kills, resumes: resumedAt.length, identical }
  whole &&= identical
}
console.log(JSON.stringify(figures))
process.exit(whole ? 0 : 1)
