import { suite } from '../suite.ts'

const test = suite('a hook throws')
test.before(() => {
  throw new Error('the hook')
})
test('never runs', () => undefined)
test.run()
