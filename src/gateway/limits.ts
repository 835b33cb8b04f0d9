/** What a client may ask of this peer. Every bound has a default; tests and operators lower or raise single ones. */
export interface GatewayLimits {
  readonly maxBodyBytes: number
  /** Sockets open at once; more are closed when they connect. */
  readonly maxConnections: number
  /** Answers generated at once. */
  readonly maxRunning: number
  /** Answers waiting for their turn; more get 503. */
  readonly maxWaiting: number
  /** Answers running or waiting for one client address; more get 429. */
  readonly maxPerClient: number
  /** A question that waits longer gets 503. */
  readonly maxWaitMs: number
  /** An answer that takes longer is broken off with 504. */
  readonly maxAnswerMs: number
  readonly maxEventClients: number
  /** A client of `/v1/events` with more unread bytes is dropped. */
  readonly maxEventBacklogBytes: number
  readonly heartbeatMs: number
  /** How long `stop` lets answers under way finish. */
  readonly stopGraceMs: number
  /** From the connection, or from the last answer, until the headers are complete. */
  readonly headersTimeoutMs: number
  /** Until the whole request has come in. */
  readonly requestTimeoutMs: number
  /** A connection on which nothing moves for so long, either way, is cut: its reader has stopped reading. */
  readonly idleTimeoutMs: number
}

export const defaultLimits: GatewayLimits = {
  // A question is a few hundred bytes; a megabyte leaves room for long conversations and none for mischief.
  maxBodyBytes: 1024 * 1024,
  maxConnections: 1024,
  // Generation is bound by the processor: more at once only makes each slower.
  maxRunning: 4,
  maxWaiting: 256,
  maxPerClient: 64,
  maxWaitMs: 30_000,
  maxAnswerMs: 120_000,
  maxEventClients: 128,
  // Some thousand events: a client that is so far behind is better off reconnecting and reading the state anew.
  maxEventBacklogBytes: 256 * 1024,
  // Proxies close idle streams after 30 to 60 s.
  heartbeatMs: 15_000,
  stopGraceMs: 5_000,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 20_000,
  // Longer than the longest silence before an answer: waiting for a turn, and generating all of it.
  idleTimeoutMs: 180_000,
}

/** Longest answer, in tokens, which are bytes. */
export const maxAnswerTokens = 4096
/** Longest prompt in characters; the model sees only the end of it that fits its context. */
export const maxPromptCharacters = 65_536
/** Answers that `GET /v1/query/{id}` remembers; the oldest is forgotten first. */
export const maxRememberedQueries = 256
