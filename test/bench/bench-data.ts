import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { OwmError } from '../../src/lib/index.ts'

/** Where benchmarks find the data sets that the product does not need: `OWM_BENCH_DATA`, or `shared/data` beside the project. */
export function benchData(name: string): string {
  const folder = join(process.env['OWM_BENCH_DATA'] ?? '../shared/data', name)
  if (existsSync(folder)) return folder
  throw new OwmError('no_training_data', `${folder} is not there; docs/data.md says where to get it.`)
}
