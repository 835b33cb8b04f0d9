import { type GossipSub, type Message, TopicValidatorResult } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import { type Clock, createEmitter, createRateLimiter, errorCode, errorMessage, OwmError } from '../lib/index.ts'
import type { Logger, Metrics } from '../observability/index.ts'
import type { GossipTopic, TopicSpec, Verdict } from './index.ts'
import { scoreTopic } from './peer-score.ts'

/** Gossip carries small facts; whatever is larger goes by its CID. */
export const maxGossipBytes = 256 * 1024
/** One gossipsub RPC. A peer that missed a lot is sent it all in one; what is longer still ends the stream unread. */
export const maxRpcBytes = 32 * maxGossipBytes
/** A message whose judgement takes longer is late anyway, and would cost the peer that relayed it. */
const validateTimeoutMs = 5_000
/** A validator that throws is a fault of ours; it is said once in so long a time and topic. */
const throwLogRate = { perSecond: 1 / 60, burst: 1 }

export interface Gossip {
  topic<T>(topic: string, spec: TopicSpec<T>): GossipTopic<T>
  start(): void
  stop(): void
}

interface Incoming {
  readonly deliver: (message: Message) => void
}

export function createGossip(components: {
  readonly pubsub: GossipSub
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
}): Gossip {
  const { pubsub, clock, logger, metrics } = components
  const messages = metrics.counter(
    'owm_network_gossip_messages_total',
    'Gossip messages judged, by topic and verdict.',
    ['topic', 'verdict'],
  )
  const throwLog = createRateLimiter(throwLogRate, clock)
  const topics = new Map<string, Incoming>()
  let started = false

  const onMessage = (event: CustomEvent<Message>): void => topics.get(event.detail.topic)?.deliver(event.detail)

  /** Sets the validator before the subscription, so that nothing comes in unjudged. */
  const subscribe = (topic: string): void => {
    scoreTopic(pubsub, topic)
    pubsub.subscribe(topic)
  }

  const topic = <T>(name: string, spec: TopicSpec<T>): GossipTopic<T> => {
    if (topics.has(name)) throw new OwmError('topic_taken', `The topic ${name} is in use already.`)
    if (spec.maxBytes > maxGossipBytes) {
      throw new OwmError('oversized', `Gossip carries ${maxGossipBytes} bytes at most; ${spec.name} asks for more.`)
    }
    const limiter = createRateLimiter(spec.rate, clock)
    const emitter = createEmitter<{ readonly value: T; readonly from: PeerId }>((error) =>
      logger.error({ topic: spec.name, error: errorMessage(error) }, 'a listener of a topic threw'),
    )
    /** From the verdict to the delivery; a message that is judged but never delivered takes its value with it. */
    const values = new WeakMap<Message, T>()

    const judge = async (source: PeerId, message: Message): Promise<Verdict<T>> => {
      if (message.type !== 'signed') return { verdict: 'reject', code: 'invalid_signature' }
      if (message.data.byteLength > spec.maxBytes) return { verdict: 'reject', code: 'oversized' }
      if (!limiter.take(source.toString())) return { verdict: 'ignore', code: 'rate_limited' }
      try {
        const verdict = spec.validate(message.data, message.from)
        return verdict instanceof Promise ? await inTime(verdict, clock) : verdict
      } catch (error) {
        if (throwLog.take(name)) {
          logger.error(
            { topic: spec.name, code: errorCode(error), error: errorMessage(error) },
            'the validator of a topic threw; its messages are ignored',
          )
        }
        return { verdict: 'ignore', code: 'internal_error' }
      }
    }

    pubsub.topicValidators.set(name, async (source, message) => {
      const verdict = await judge(source, message)
      messages.add(1, { topic: spec.name, verdict: verdict.verdict })
      if (verdict.verdict === 'accept') {
        values.set(message, verdict.value)
        return TopicValidatorResult.Accept
      }
      logger.debug({ topic: spec.name, peer: source.toString(), ...verdict }, 'a message was not accepted')
      return verdict.verdict === 'reject' ? TopicValidatorResult.Reject : TopicValidatorResult.Ignore
    })
    topics.set(name, {
      deliver: (message) => {
        if (message.type !== 'signed' || !values.has(message)) return
        emitter.emit({ value: values.get(message) as T, from: message.from })
      },
    })
    if (started) subscribe(name)

    return {
      onMessage: (listener) => emitter.on(({ value, from }) => listener(value, from)),
      publish: async (data) => {
        if (!started) throw new OwmError('not_started', 'The network is not running.')
        if (data.byteLength > spec.maxBytes) {
          throw new OwmError('oversized', `A ${spec.name} message has ${data.byteLength} bytes; ${spec.maxBytes} fit.`)
        }
        await pubsub.publish(name, data)
      },
    }
  }

  return {
    topic,
    start: () => {
      if (started) return
      started = true
      pubsub.addEventListener('message', onMessage)
      for (const name of topics.keys()) subscribe(name)
    },
    stop: () => {
      if (!started) return
      started = false
      pubsub.removeEventListener('message', onMessage)
    },
  }
}

function inTime<T>(verdict: Promise<Verdict<T>>, clock: Clock): Promise<Verdict<T>> {
  return new Promise((resolve, reject) => {
    const callOff = clock.after(validateTimeoutMs, () => resolve({ verdict: 'ignore', code: 'timeout' }))
    verdict.then(resolve, reject).finally(callOff)
  })
}
