import type { Answer, AnswerStart } from './answering.ts'

type Body = Record<string, unknown>

/** The bodies of one endpoint: a whole answer, or the chunks of a streamed one. */
export interface Reply {
  whole(answer: Answer): Body
  first(start: AnswerStart): Body | undefined
  piece(start: AnswerStart, text: string): Body
  last(answer: Answer): Body
}

interface Head {
  readonly id: string
  /** Unix seconds. */
  readonly created: number
}

export function usageOf(answer: Answer): Body {
  return {
    prompt_tokens: answer.promptTokens,
    completion_tokens: answer.completionTokens,
    total_tokens: answer.promptTokens + answer.completionTokens,
  }
}

export function chatReply(head: Head): Reply {
  const chunk = (start: AnswerStart, delta: Body, finish: string | null): Body => ({
    ...bodyOf(head, 'chat.completion.chunk', start),
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
  })
  return {
    whole: (answer) => ({
      ...bodyOf(head, 'chat.completion', answer),
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: answer.text, refusal: null },
          logprobs: null,
          finish_reason: answer.finish,
        },
      ],
      usage: usageOf(answer),
    }),
    first: (start) => chunk(start, { role: 'assistant', content: '', refusal: null }, null),
    piece: (start, text) => chunk(start, { content: text }, null),
    last: (answer) => chunk(answer, {}, answer.finish),
  }
}

export function completionReply(head: Head): Reply {
  const body = (start: AnswerStart, text: string, finish: string | null): Body => ({
    ...bodyOf(head, 'text_completion', start),
    choices: [{ text, index: 0, logprobs: null, finish_reason: finish }],
  })
  return {
    whole: (answer) => ({ ...body(answer, answer.text, answer.finish), usage: usageOf(answer) }),
    first: () => undefined,
    piece: (start, text) => body(start, text, null),
    last: (answer) => body(answer, '', answer.finish),
  }
}

/** `system_fingerprint` names what determines the answer: the checkpoint. */
function bodyOf(head: Head, object: string, start: AnswerStart): Body {
  return {
    id: head.id,
    object,
    created: head.created,
    model: start.model,
    system_fingerprint: start.checkpoint,
  }
}
