import { suite } from '../suite.ts'

const test = suite('forgets run()')
test('never runs', () => undefined)
