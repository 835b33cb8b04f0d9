import { suite } from '../suite.ts'

const test = suite('a test hangs')
test('passes', () => undefined)
test('hangs', () => new Promise(() => undefined), { timeoutMs: 50 })
test.run()
