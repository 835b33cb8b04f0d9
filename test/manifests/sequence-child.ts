/** Takes sequence numbers as fast as it can and says each one, until it is killed. */
import { writeSync } from 'node:fs'
import { systemClock } from '../../src/lib/index.ts'
import { openSequence } from '../../src/manifests/sequence.ts'
import { silentLogger } from '../../src/observability/index.ts'

const sequence = await openSequence(systemClock, silentLogger, process.argv[2])
for (;;) writeSync(1, `${await sequence.next()}\n`)
