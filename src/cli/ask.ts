import type { Command } from 'commander'
import { OwmError, withTimeout } from '../lib/index.ts'
import { connectToPeer, type SettingsOptions, withSettings } from './settings.ts'
import { createTerminal, short } from './terminal.ts'

/** An answer of a few hundred bytes takes seconds; a loaded machine several times that. */
const gatewayTimeoutMs = 60_000

interface AskOptions extends SettingsOptions {
  readonly gateway?: string
  readonly model?: string
  readonly maxTokens: string
  readonly temperature: string
}

interface Answer {
  readonly answer: string
  readonly model: string
  readonly checkpoint: string
  readonly round: number
}

export function registerAsk(program: Command): void {
  withSettings(
    program
      .command('ask')
      .description('ask the mesh: the answer comes from the newest certified checkpoint, which it names')
      .argument('<prompt...>', 'what to ask; a model of code goes on from it'),
  )
    .option('--gateway <url>', 'ask a gateway instead of the peer on this machine, as http://127.0.0.1:8080')
    .option('--model <name>', 'which model (default: the one there is)')
    .option('--max-tokens <count>', 'the longest answer, in bytes', '160')
    .option('--temperature <value>', '0 always takes the likeliest byte', '0.7')
    .addHelpText(
      'after',
      `
Without --gateway the peer on this machine answers, from the newest checkpoint it has. The answer goes to standard
output; which model, round and checkpoint it came from, to standard error.

  owm ask "export function "
  owm ask --gateway http://127.0.0.1:8080 --max-tokens 400 --temperature 0 "import {"`,
    )
    .action(async (words: string[], options: AskOptions) => {
      const terminal = createTerminal({ json: options.json === true })
      const prompt = words.join(' ')
      const answer = await (options.gateway === undefined
        ? askPeer(prompt, options)
        : askGateway(prompt, options, options.gateway))
      terminal.result({ prompt, ...answer }, () => `${prompt}${answer.answer}`)
      if (!terminal.json)
        terminal.say(
          terminal.style.dim(`${answer.model}, round ${answer.round}, checkpoint ${short(answer.checkpoint)}`),
        )
    })
}

function numbers(options: AskOptions): { readonly maxTokens: number; readonly temperature: number } {
  const [maxTokens, temperature] = [Number(options.maxTokens), Number(options.temperature)]
  if (!Number.isInteger(maxTokens) || maxTokens < 1 || maxTokens > 4096) {
    throw new OwmError('bad_usage', `--max-tokens takes a whole number from 1 to 4096, not ${options.maxTokens}.`)
  }
  if (!(temperature >= 0 && temperature <= 2)) {
    throw new OwmError('bad_usage', `--temperature takes a number from 0 to 2, not ${options.temperature}.`)
  }
  return { maxTokens, temperature }
}

async function askPeer(prompt: string, options: AskOptions): Promise<Answer> {
  return connectToPeer(options).call<Answer>('ask', {
    prompt,
    ...numbers(options),
    ...(options.model === undefined ? {} : { model: options.model }),
  })
}

async function askGateway(prompt: string, options: AskOptions, gateway: string): Promise<Answer> {
  const { maxTokens, temperature } = numbers(options)
  const url = URL.canParse('/v1/query', gateway) ? new URL('/v1/query', gateway) : undefined
  if (url === undefined)
    throw new OwmError('bad_usage', `--gateway takes an address such as http://127.0.0.1:8080, not ${gateway}.`)
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      question: prompt,
      max_tokens: maxTokens,
      temperature,
      ...(options.model === undefined ? {} : { model: options.model }),
    }),
    signal: withTimeout(gatewayTimeoutMs),
  }).catch((cause: Error) => {
    throw new OwmError(
      'unavailable',
      `No gateway answers at ${url.origin}: ${(cause.cause as Error | undefined)?.message ?? cause.message}.`,
    )
  })
  const body = (await response.json().catch(() => ({}))) as Record<string, unknown>
  if (!response.ok)
    throw new OwmError(
      'unavailable',
      `The gateway answered ${response.status}: ${String(body['detail'] ?? body['title'] ?? '')}`,
    )
  return {
    answer: String(body['answer']),
    model: Array.isArray(body['sub_models_used']) ? String(body['sub_models_used'][0]) : '',
    checkpoint: String(body['checkpoint']),
    round: Number(body['round']),
  }
}
