import type { GenerateOptions } from '../inference/index.ts'
import { abortable, type Clock, joinSignals, OwmError } from '../lib/index.ts'
import type { Metrics } from '../observability/index.ts'
import { type Admission, createAdmission } from './admission.ts'
import type { Answerer, AnswerModel } from './index.ts'
import type { GatewayLimits } from './limits.ts'

export interface Question {
  /** The newest model when absent. */
  readonly model?: string
  readonly prompt: Uint8Array
  readonly options: Omit<GenerateOptions, 'signal'>
  /** Address of who asks. */
  readonly client: string
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal
}

export interface AnswerStart {
  readonly model: string
  readonly run: string
  readonly checkpoint: string
  readonly round: number
}

export interface Answer extends AnswerStart {
  readonly text: string
  /** Bytes. */
  readonly promptTokens: number
  readonly completionTokens: number
  /** `length` when the token limit ended it. */
  readonly finish: 'stop' | 'length'
  readonly latencyMs: number
}

/** Called once with the first token at hand (so that all that can fail early has), then with each piece of whole characters. */
export interface AnswerListener {
  onStart?(start: AnswerStart): void
  onText?(text: string): void | Promise<void>
}

export interface Answering {
  readonly admission: Admission
  models(): readonly AnswerModel[]
  /** @throws OwmError `no_checkpoint`, `model_not_found`, `capacity_exceeded`, `too_many_requests`, `timeout`, `stopping` */
  answer(question: Question, listener?: AnswerListener): Promise<Answer>
  /** New questions are refused; those under way end within the grace time, or are broken off. */
  stop(): Promise<void>
}

export function createAnswering(
  components: { readonly answerer?: Answerer; readonly metrics: Metrics; readonly clock: Clock },
  limits: GatewayLimits,
): Answering {
  const { answerer, clock } = components
  const admission = createAdmission(limits)
  const running = components.metrics.gauge('owm_gateway_answers_running', 'Answers being generated now')
  const bytes = components.metrics.counter('owm_gateway_answer_bytes_total', 'Bytes generated for clients')
  const stopping = new AbortController()
  const breakOff = new AbortController()
  const stopError = (): OwmError => new OwmError('stopping', 'This peer is stopping; ask another one.')

  const choose = (wanted: string | undefined): AnswerModel => {
    const models = answerer?.models() ?? []
    const newest = models.reduce<AnswerModel | undefined>(
      (best, model) => (best === undefined || model.certifiedMs > best.certifiedMs ? model : best),
      undefined,
    )
    if (newest === undefined) {
      throw new OwmError('no_checkpoint', 'No checkpoint has been certified yet; the first round is still under way.')
    }
    if (wanted === undefined) return newest
    const chosen = models.find((model) => model.id === wanted || model.checkpoint === wanted)
    if (chosen !== undefined) return chosen
    const names = models.map((model) => model.id).join(', ')
    throw new OwmError('model_not_found', `There is no model of that name here; there is ${names}.`, { param: 'model' })
  }

  const generate = async (
    question: Question,
    listener: AnswerListener,
    signal: AbortSignal,
    startedMs: number,
  ): Promise<Answer> => {
    if (answerer === undefined) throw new OwmError('no_checkpoint', 'This peer serves no model.')
    const model = choose(question.model)
    const { maxTokens } = question.options
    const generation = await abortable(
      answerer.generate(model.id, question.prompt, { ...question.options, signal }),
      signal,
    )
    const start = { model: model.id, run: model.run, checkpoint: generation.checkpoint, round: generation.round }
    // Bytes that are no character become U+FFFD; one cut off by the token limit is left away, hence no final flush.
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    const iterator = generation.tokens[Symbol.asyncIterator]()
    let text = ''
    let completionTokens = 0
    let told = false
    try {
      while (completionTokens < maxTokens) {
        const next = await abortable(iterator.next(), signal)
        if (!told) listener.onStart?.(start)
        told = true
        if (next.done) break
        const chunk = next.value.subarray(0, maxTokens - completionTokens)
        completionTokens += chunk.length
        const piece = decoder.decode(chunk, { stream: true })
        text += piece
        if (piece !== '') await abortable(Promise.resolve(listener.onText?.(piece)), signal)
      }
    } finally {
      bytes.add(completionTokens)
      // Not awaited: a generator that hangs must not hold the turn. Its own failure has nobody left to hear it.
      iterator.return?.()?.catch(() => undefined)
    }
    return {
      ...start,
      text,
      promptTokens: question.prompt.length,
      completionTokens,
      finish: completionTokens >= maxTokens ? 'length' : 'stop',
      latencyMs: clock.now() - startedMs,
    }
  }

  return {
    admission,
    models: () => answerer?.models() ?? [],
    answer: async (question, listener = {}) => {
      if (stopping.signal.aborted) throw stopError()
      choose(question.model)
      const startedMs = clock.now()
      const inTime = new AbortController()
      const waited = clock.after(limits.maxWaitMs, () =>
        inTime.abort(
          new OwmError('capacity_exceeded', 'This peer is busy; your question waited too long for its turn.'),
        ),
      )
      let calledOff = waited
      let release: (() => void) | undefined
      try {
        release = await admission.enter(question.client, joinSignals(question.signal, stopping.signal, inTime.signal))
        waited()
        calledOff = clock.after(limits.maxAnswerMs, () =>
          inTime.abort(new OwmError('timeout', `The answer took longer than ${limits.maxAnswerMs / 1000} s.`)),
        )
        running.set(admission.running)
        return await generate(
          question,
          listener,
          joinSignals(question.signal, breakOff.signal, inTime.signal),
          startedMs,
        )
      } finally {
        calledOff()
        release?.()
        running.set(admission.running)
      }
    },
    stop: async () => {
      stopping.abort(stopError())
      const calledOff = clock.after(limits.stopGraceMs, () => breakOff.abort(stopError()))
      await admission.idle()
      calledOff()
    },
  }
}
