import { parentPort } from 'node:worker_threads'
import { scenarioOf } from './scenario.ts'
import type { SeedRequest } from './seeds.ts'
import { simulate } from './simulation.ts'

/** One thread of `simulateSeeds`: an outcome for each seed that it is asked for. */
parentPort?.on('message', (request: SeedRequest) => {
  parentPort?.postMessage(simulate(scenarioOf(request)))
})
