import { pino } from 'pino'
import type { LogFields, Logger } from './index.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Field names whose values are never written, at any of the first two depths. A second line of defence: no code passes them. */
const secretFields = [
  'key',
  'privateKey',
  'secret',
  'seed',
  'swarmKey',
  'macaroon',
  'preimage',
  'password',
  'token',
  'invitation',
]

/** A pino logger: one JSON object a line, or one readable line in `text` format. Synchronous, so that a crash loses nothing. */
export function createLogger(options: {
  readonly level: LogLevel
  readonly format: 'json' | 'text'
  /** Where lines go; standard error when absent, so that a command's own output stays clean. */
  readonly write?: (line: string) => void
}): Logger {
  const write = options.write ?? ((line: string) => void process.stderr.write(line))
  const destination = { write: options.format === 'json' ? write : (line: string) => write(readable(line)) }
  const base = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretFields.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
    },
    destination,
  )
  return wrap(base)
}

function wrap(inner: pino.Logger): Logger {
  return {
    debug: (fields, message) => inner.debug(fields, message),
    info: (fields, message) => inner.info(fields, message),
    warn: (fields, message) => inner.warn(fields, message),
    error: (fields, message) => inner.error(fields, message),
    child: (fields) => wrap(inner.child(fields)),
  }
}

/** `12:30:01 warn  network  no bootstrap peer answers  attempts=3` */
function readable(line: string): string {
  const { level, time, msg, room, ...fields } = JSON.parse(line) as LogFields
  const rest = Object.entries(fields).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const parts = [
    String(time).slice(11, 19),
    String(level).padEnd(5),
    room === undefined ? '' : String(room).padEnd(10),
    msg,
    ...rest,
  ]
  return `${parts.filter((part) => part !== '').join('  ')}\n`
}
