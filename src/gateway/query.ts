import { randomUUID } from 'node:crypto'
import type { Hono } from 'hono'
import { z } from 'zod'
import { OwmError } from '../lib/index.ts'
import type { Answer, Answering, AnswerStart, Question } from './answering.ts'
import { failureOf, problemBody } from './failure.ts'
import { type GatewayLimits, maxAnswerTokens, maxPromptCharacters, maxRememberedQueries } from './limits.ts'
import { clientOf, type Env, type GatewayContext, readJson } from './request.ts'
import { createEventStream, eventFrame, eventStreamHeaders, streamBufferBytes } from './sse.ts'
import { versionHeaders } from './version-headers.ts'

const text = z.string().min(1).max(maxPromptCharacters)
const querySchema = z
  .strictObject({
    question: text.optional(),
    /** The same as `question`. */
    input: text.optional(),
    model: z.string().min(1).max(256).optional(),
    max_tokens: z.int().min(1).max(maxAnswerTokens).default(256),
    // Low enough to stay on the subject, high enough not to circle.
    temperature: z.number().min(0).max(2).default(0.5),
    top_p: z.number().gt(0).max(1).optional(),
    top_k: z.int().min(1).max(256).optional(),
    seed: z.int().optional(),
    stop: z.array(z.string().min(1).max(64)).max(4).optional(),
  })
  .refine((body) => (body.question === undefined) !== (body.input === undefined), {
    path: ['question'],
    message: 'give either question or input',
  })

type Remembered =
  | { readonly query_id: string; readonly status: 'running' }
  | ({ readonly query_id: string; readonly status: 'done' } & ReturnType<typeof answerBody>)
  | { readonly query_id: string; readonly status: 'failed'; readonly error: Record<string, unknown> }

/** `/v1/query`, `/v1/query/stream`, `/v1/query/{id}`: a question answered in OWM's own shape. The prompt is the question, verbatim. */
export function serveQuery(app: Hono<Env>, answering: Answering, limits: GatewayLimits): void {
  const remembered = new Map<string, Remembered>()
  const remember = (entry: Remembered): void => {
    remembered.set(entry.query_id, entry)
    for (const oldest of remembered.keys()) {
      if (remembered.size <= maxRememberedQueries) break
      remembered.delete(oldest)
    }
  }
  const failed = (id: string, error: unknown): void =>
    remember({ query_id: id, status: 'failed', error: problemBody(failureOf(error), `/v1/query/${id}`) })

  app.post('/v1/query', async (c) => {
    const question = await questionOf(c, limits)
    const id = randomUUID()
    remember({ query_id: id, status: 'running' })
    try {
      const body = answerBody(await answering.answer(question))
      remember({ query_id: id, status: 'done', ...body })
      return c.json({ query_id: id, ...body }, 200, versionHeaders(body.model_version))
    } catch (error) {
      failed(id, error)
      throw error
    }
  })

  app.post('/v1/query/stream', async (c) => {
    const question = await questionOf(c, limits)
    const id = randomUUID()
    remember({ query_id: id, status: 'running' })
    const stream = createEventStream(streamBufferBytes)
    const started = Promise.withResolvers<AnswerStart>()
    const onStart = (start: AnswerStart): void => {
      const head = { query_id: id, model: start.model, model_version: start.checkpoint, round: start.round }
      stream.offer(eventFrame('start', head))
      started.resolve(start)
    }
    const finished = answering
      .answer(question, {
        onStart,
        onText: (piece) => stream.write(eventFrame('text', { text: piece })),
      })
      .then(async (answer) => {
        const body = answerBody(answer)
        remember({ query_id: id, status: 'done', ...body })
        await stream.write(eventFrame('done', { query_id: id, ...body }))
      })
      .catch(async (error: unknown) => {
        failed(id, error)
        started.reject(error)
        await stream.write(eventFrame('error', problemBody(failureOf(error), c.req.path)))
      })
    void finished.finally(() => stream.close())
    const { checkpoint } = await started.promise
    return c.body(stream.body, 200, { ...eventStreamHeaders, ...versionHeaders(checkpoint) })
  })

  app.get('/v1/query/:id', (c) => {
    const entry = remembered.get(c.req.param('id'))
    if (entry === undefined) {
      throw new OwmError('not_found', `No such query; the last ${maxRememberedQueries} are remembered.`)
    }
    return c.json(entry)
  })
}

async function questionOf(c: GatewayContext, limits: GatewayLimits): Promise<Question> {
  const body = await readJson(c, querySchema, limits.maxBodyBytes)
  const encoder = new TextEncoder()
  return {
    model: body.model,
    prompt: encoder.encode(body.question ?? body.input),
    options: {
      maxTokens: body.max_tokens,
      temperature: body.temperature,
      topP: body.top_p,
      topK: body.top_k,
      seed: body.seed,
      stop: body.stop?.map((each) => encoder.encode(each)),
    },
    client: clientOf(c),
    signal: c.req.raw.signal,
  }
}

/** Says what is known and no more: there is no proof of the timestamp and no measure of confidence yet. */
function answerBody(answer: Answer) {
  return {
    answer: answer.text,
    sub_models_used: [answer.model],
    data_sources: [] as readonly string[],
    confidence: null,
    model_version: answer.checkpoint,
    ots_verified: false,
    latency_ms: answer.latencyMs,
    cost_sats: 0,
    checkpoint: answer.checkpoint,
    round: answer.round,
    run: answer.run,
    finish_reason: answer.finish,
    tokens: { prompt: answer.promptTokens, completion: answer.completionTokens },
  }
}
