/** Control flow: only step graphs made here have it. */
import { OwmError } from '../../lib/index.ts'
import { need, operator } from './operator.ts'

export const loops = {
  /** Loop-carried values alone; the body takes iteration and condition first and gives the condition first. */
  Loop: operator({ body: 'graph' }, (inputs, { body }) => {
    if (body === undefined) throw new OwmError('bad_graph', 'A loop without a body.')
    const carried = body.outputs.slice(1).map(({ type, shape }) => ({ type, shape }))
    carried.forEach((output, at) => {
      const input = need(inputs, at + 2)
      if (input.type !== output.type || input.shape.join() !== output.shape.join()) {
        throw new OwmError('bad_graph', `The loop's value ${at} changes its type or shape.`)
      }
    })
    return carried
  }),
} as const
