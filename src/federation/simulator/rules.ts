import { errorCode, RejectedError } from '../../lib/index.ts'
import { type Certificate, checkNotice, type Head, judgeCertificate, type Value } from '../certificate.ts'
import { begin, step } from '../machine.ts'
import { judgeMessage } from '../message-rules.ts'
import { stands } from '../preference.ts'
import type { Message } from '../round-state.ts'
import type { Run } from '../specification.ts'
import type { Abandon, Join, Notice, Vote } from '../statements.ts'
import type { Signatures } from './signatures.ts'

/**
 * What a simulated peer goes by: what production does, and nothing else, except that signatures are those of the
 * simulator. Tests put a mistake in the place of one of them, to see it found.
 */
export interface Rules {
  readonly begin: typeof begin
  readonly step: typeof step
  readonly judgeMessage: typeof judgeMessage
  readonly judgeCertificate: (run: Run, previous: Head, certificate: Certificate) => void
  readonly checkNotice: typeof checkNotice
  readonly stands: typeof stands
  /** @throws RejectedError `invalid_signature` */
  readonly verify: (signatures: Signatures, author: string, statement: Notice | Vote | Join | Abandon) => void
}

export const productionRules: Rules = {
  begin,
  step,
  judgeMessage,
  judgeCertificate,
  checkNotice,
  stands,
  verify: (signatures, author, statement) => {
    if (!signatures.isBy(author, statement)) {
      throw new RejectedError('reject', 'invalid_signature', `${author} did not sign this.`)
    }
  },
}

type Verify = (author: string, statement: Notice | Vote | Join | Abandon) => void

/** As opening does: every statement in it must be signed by whom it names. @throws RejectedError */
export function verifyMessage(verify: Verify, message: Message): void {
  switch (message.kind) {
    case 'report':
      for (const notice of message.held) verify(notice.trainer, notice)
      for (const join of message.joins) verify(join.peer, join)
      if (message.lock !== null) {
        verifyValue(verify, message.lock.value)
        for (const vote of message.lock.votes) verify(vote.voter, vote)
      }
      break
    case 'proposal':
      verifyValue(verify, message.value)
      for (const vote of message.justify?.votes ?? []) verify(vote.voter, vote)
      break
    case 'vote':
      verify(message.vote.voter, message.vote)
      break
    case 'moved':
    case 'close':
      break
  }
}

export function verifyCertificate(verify: Verify, { value, votes, abandons }: Certificate): void {
  verifyValue(verify, value)
  for (const vote of votes) verify(vote.voter, vote)
  for (const abandon of abandons) verify(abandon.peer, abandon)
}

function verifyValue(verify: Verify, value: Value): void {
  for (const notice of value.updates) verify(notice.trainer, notice)
  for (const join of value.joins) verify(join.peer, join)
}

/** What a judgement finds wrong, or null. */
export function codeOf(judge: () => void): string | null {
  try {
    judge()
    return null
  } catch (error) {
    return errorCode(error)
  }
}
