import { z } from 'zod'
import type { GenerateOptions } from '../inference/index.ts'
import { OwmError } from '../lib/index.ts'
import { maxAnswerTokens, maxPromptCharacters } from './limits.ts'

const encoder = new TextEncoder()
const tokens = z.int().min(1).max(maxAnswerTokens).nullish()
const stopText = z.string().min(1).max(64)

/**
 * What both endpoints take. Fields that would change the answer and that this peer cannot honour are refused by name
 * rather than ignored; every other unknown field (`user`, `metadata`, `store`, ...) is ignored, as clients send many.
 */
const common = z.looseObject({
  model: z.string().min(1).max(256),
  max_tokens: tokens,
  max_completion_tokens: tokens,
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  seed: z.int().nullish(),
  stop: z.union([stopText, z.array(stopText).max(4)]).nullish(),
  n: z.literal(1, 'only one choice is made at a time').nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  presence_penalty: z.literal(0, 'penalties are not supported').nullish(),
  frequency_penalty: z.literal(0, 'penalties are not supported').nullish(),
  logit_bias: z.record(z.string(), z.never('biases are not supported')).nullish(),
})

const textPart = z.looseObject({ type: z.literal('text', 'only text parts are supported'), text: z.string() })
const message = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content: z.union([z.string().max(maxPromptCharacters), z.array(textPart).min(1).max(64)]),
})

export const chatSchema = common.extend({
  messages: z.array(message).min(1).max(256),
  tools: z.array(z.unknown()).max(0, 'tools are not supported').nullish(),
  functions: z.array(z.unknown()).max(0, 'functions are not supported').nullish(),
  logprobs: z.literal(false, 'log-probabilities are not supported').nullish(),
  response_format: z.looseObject({ type: z.literal('text', 'only text is supported') }).nullish(),
})

/** Tokens are bytes, so a list of tokens is a list of numbers below 256. */
const tokenList = z.array(z.int().min(0).max(255)).min(1).max(maxPromptCharacters)
const promptText = z.string().min(1).max(maxPromptCharacters)

export const completionSchema = common.extend({
  prompt: z.union(
    [promptText, z.tuple([promptText]), tokenList, z.tuple([tokenList])],
    'one text, or one list of byte tokens',
  ),
  best_of: z.literal(1, 'only one choice is made at a time').nullish(),
  echo: z.literal(false, 'echo is not supported').nullish(),
  logprobs: z.literal(0, 'log-probabilities are not supported').nullish(),
  suffix: z.literal('', 'insertion is not supported').nullish(),
})

export type ChatRequest = z.infer<typeof chatSchema>
export type CompletionRequest = z.infer<typeof completionSchema>

/**
 * A conversation as a prompt for a base model of bytes: the contents of all messages in order, with one blank line
 * between two, and nothing added. Roles are left out, because the model was never trained on any: it continues text.
 *
 * @throws OwmError `bad_request` when there is no text at all
 */
export function chatPrompt(request: ChatRequest): Uint8Array {
  const contents = request.messages.map(({ content }) =>
    typeof content === 'string' ? content : content.map((part) => part.text).join(''),
  )
  const prompt = contents.filter((content) => content !== '').join('\n\n')
  if (prompt === '') throw new OwmError('bad_request', 'messages: there is no text in them.', { param: 'messages' })
  return encoder.encode(prompt)
}

export function completionPrompt({ prompt }: CompletionRequest): Uint8Array {
  const [first] = prompt
  const single = typeof prompt === 'string' || typeof first === 'number' ? prompt : first
  return typeof single === 'string' ? encoder.encode(single) : new Uint8Array(single as readonly number[])
}

export function generateOptions(
  request: ChatRequest | CompletionRequest,
  defaultMaxTokens: number,
): Omit<GenerateOptions, 'signal'> {
  const { stop } = request
  return {
    maxTokens: request.max_completion_tokens ?? request.max_tokens ?? defaultMaxTokens,
    temperature: request.temperature ?? 1,
    topP: request.top_p ?? undefined,
    seed: request.seed ?? undefined,
    stop: (typeof stop === 'string' ? [stop] : (stop ?? [])).map((text) => encoder.encode(text)),
  }
}
