import { randomUUID } from 'node:crypto'
import type { Hono } from 'hono'
import { type Clock, OwmError } from '../lib/index.ts'
import type { Answer, Answering, AnswerStart, Question } from './answering.ts'
import { failureOf, openAiErrorBody } from './failure.ts'
import type { AnswerModel } from './index.ts'
import type { GatewayLimits } from './limits.ts'
import { chatReply, completionReply, type Reply, usageOf } from './openai-replies.ts'
import { chatPrompt, chatSchema, completionPrompt, completionSchema, generateOptions } from './openai-requests.ts'
import { clientOf, type Env, type GatewayContext, readJson } from './request.ts'
import { createEventStream, dataFrame, eventStreamHeaders, streamBufferBytes } from './sse.ts'
import { versionHeaders } from './version-headers.ts'

/** A chat may be long; OpenAI leaves it open. */
const chatMaxTokens = 512
/** OpenAI's own default for completions. */
const completionMaxTokens = 16

/** Whether errors on this path have OpenAI's shape. */
export function isOpenAiPath(path: string): boolean {
  return /^\/v1\/(models|chat|completions|embeddings)(\/|$)/.test(path)
}

/** `/v1/models`, `/v1/chat/completions`, `/v1/completions`, as in OpenAI's API reference. */
export function serveOpenAi(
  app: Hono<Env>,
  components: { readonly answering: Answering; readonly clock: Clock },
  limits: GatewayLimits,
): void {
  const { answering, clock } = components

  app.get('/v1/models', (c) => c.json({ object: 'list', data: answering.models().map(modelBody) }))

  app.get('/v1/models/:id', (c) => {
    const id = c.req.param('id')
    const model = answering.models().find((each) => each.id === id || each.checkpoint === id)
    if (model === undefined)
      throw new OwmError('model_not_found', 'There is no model of that name here.', { param: 'model' })
    return c.json(modelBody(model))
  })

  app.post('/v1/chat/completions', async (c) => {
    const request = await readJson(c, chatSchema, limits.maxBodyBytes)
    const options = generateOptions(request, chatMaxTokens)
    const question = { model: request.model, prompt: chatPrompt(request), options, ...askedBy(c) }
    const reply = chatReply({ id: `chatcmpl-${randomUUID()}`, created: seconds(clock) })
    return request.stream
      ? await streamed(c, answering, question, reply, request.stream_options?.include_usage === true)
      : await whole(c, answering, question, reply)
  })

  app.post('/v1/completions', async (c) => {
    const request = await readJson(c, completionSchema, limits.maxBodyBytes)
    const options = generateOptions(request, completionMaxTokens)
    const question = { model: request.model, prompt: completionPrompt(request), options, ...askedBy(c) }
    const reply = completionReply({ id: `cmpl-${randomUUID()}`, created: seconds(clock) })
    return request.stream
      ? await streamed(c, answering, question, reply, request.stream_options?.include_usage === true)
      : await whole(c, answering, question, reply)
  })
}

async function whole(c: GatewayContext, answering: Answering, question: Question, reply: Reply): Promise<Response> {
  const answer = await answering.answer(question)
  return c.json(reply.whole(answer), 200, versionHeaders(answer.checkpoint))
}

/** Fails with a status while nothing is sent yet; afterwards an error is the stream's last event. */
async function streamed(
  c: GatewayContext,
  answering: Answering,
  question: Question,
  reply: Reply,
  includeUsage: boolean,
): Promise<Response> {
  const stream = createEventStream(streamBufferBytes)
  const started = Promise.withResolvers<AnswerStart>()
  // With `include_usage`, every chunk but the last has `usage: null`.
  const frame = (chunk: Record<string, unknown>): string => dataFrame(includeUsage ? { ...chunk, usage: null } : chunk)
  let start: AnswerStart | undefined
  const onStart = (given: AnswerStart): void => {
    start = given
    const first = reply.first(given)
    if (first !== undefined) stream.offer(frame(first))
    started.resolve(given)
  }
  const finish = async (answer: Answer): Promise<void> => {
    await stream.write(frame(reply.last(answer)))
    if (includeUsage) await stream.write(dataFrame({ ...reply.last(answer), choices: [], usage: usageOf(answer) }))
    await stream.write(dataFrame('[DONE]'))
  }
  const onText = async (text: string): Promise<void> => {
    if (start !== undefined) await stream.write(frame(reply.piece(start, text)))
  }
  void answering
    .answer(question, { onStart, onText })
    .then(finish)
    .catch(async (error: unknown) => {
      started.reject(error)
      await stream.write(dataFrame(openAiErrorBody(failureOf(error))))
    })
    .finally(() => stream.close())
  const { checkpoint } = await started.promise
  return c.body(stream.body, 200, { ...eventStreamHeaders, ...versionHeaders(checkpoint) })
}

function askedBy(c: GatewayContext): Pick<Question, 'client' | 'signal'> {
  return { client: clientOf(c), signal: c.req.raw.signal }
}

function seconds(clock: Clock): number {
  return Math.floor(clock.now() / 1000)
}

/** OpenAI's model object; what is OWM's own stands under `owm`. */
function modelBody(model: AnswerModel): Record<string, unknown> {
  return {
    id: model.id,
    object: 'model',
    created: Math.floor(model.certifiedMs / 1000),
    owned_by: 'owm',
    owm: {
      checkpoint: model.checkpoint,
      run: model.run,
      round: model.round,
      context_tokens: model.contextTokens,
      signatures: model.signatures,
      ots_verified: false,
    },
  }
}
