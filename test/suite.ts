import { suite as uvuSuite } from 'uvu'
import { OwmError } from '../src/lib/index.ts'
import { record } from './tally.ts'

/** A test that has not ended by then has failed. Give a test its own bound where it starts processes. */
const defaultTimeoutMs = 20_000

type Body = () => void | Promise<void>

/** A uvu suite whose tests are counted and bounded. `run()` must be called at the end of the file, as in uvu. */
export interface Suite {
  (name: string, body: Body, options?: { readonly timeoutMs?: number }): void
  /** Declares a test that cannot run here, and says why in the output. */
  skip(name: string, why: string): void
  before(body: Body): void
  after(body: Body): void
  beforeEach(body: Body): void
  afterEach(body: Body): void
  run(): void
}

export function suite(name: string): Suite {
  const inner = uvuSuite(name)
  const declare = (title: string, body: Body, options: { readonly timeoutMs?: number } = {}): void => {
    record.declared++
    inner(title, async () => {
      record.executed++
      await bounded(body, options.timeoutMs ?? defaultTimeoutMs)
    })
  }
  const hook = (body: Body) => (): Promise<void> => bounded(body, 60_000)
  return Object.assign(declare, {
    skip: (title: string, why: string): void => {
      record.skipped.push(`${name}: ${title} (${why})`)
    },
    before: (body: Body): void => inner.before(hook(body)),
    after: (body: Body): void => inner.after(hook(body)),
    beforeEach: (body: Body): void => inner.before.each(hook(body)),
    afterEach: (body: Body): void => inner.after.each(hook(body)),
    run: (): void => inner.run(),
  })
}

async function bounded(body: Body, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not finished after ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    await Promise.race([Promise.resolve().then(body), late])
  } catch (error) {
    throw presentable(error)
  } finally {
    clearTimeout(timer)
  }
}

/** uvu takes an error's `details` for a text of its own; an OwmError's are an object, on which its report would break off. */
function presentable(error: unknown): unknown {
  if (!(error instanceof OwmError)) return error
  const plain = new Error(`${error.code}: ${error.message}`, { cause: error })
  plain.stack = error.stack ?? ''
  return plain
}
