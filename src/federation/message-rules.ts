import { RejectedError } from '../lib/index.ts'
import { checkJoin, checkNotice, checkValue, checkVotes, type Election, type Head, type Value } from './certificate.ts'
import type { Message } from './round-state.ts'
import type { Run } from './specification.ts'

/**
 * The judgement on a committee's message whose statements have been opened. Pure: the driver and the simulator apply the
 * same one.
 *
 * @throws RejectedError as `checkValue`, `checkVotes`, `checkNotice` and `checkJoin` do, or `not_in_roster`, `wrong_vote`
 */
export function judgeMessage(
  run: Run,
  previous: Head,
  election: Election,
  { from, attempt }: { readonly from: string; readonly attempt: number },
  message: Message,
): void {
  switch (message.kind) {
    case 'moved':
    case 'close':
      return
    case 'report': {
      const roster = new Set(previous.roster.map((place) => place.peer))
      for (const notice of message.held) {
        checkNotice(run, previous, attempt, notice)
        if (!roster.has(notice.trainer)) {
          throw new RejectedError('reject', 'not_in_roster', `${notice.trainer} does not train in this round.`)
        }
      }
      for (const join of message.joins) checkJoin(run, previous, join)
      const { lock } = message
      if (lock === null) return
      checkAttempt(lock.value, attempt)
      checkValue(run, previous, lock.value)
      checkVotes(election, lock.value, lock.view, 'prepare', lock.votes)
      return
    }
    case 'proposal': {
      const { value, justify } = message
      checkAttempt(value, attempt)
      checkValue(run, previous, value)
      if (justify !== null) checkVotes(election, value, justify.view, 'prepare', justify.votes)
      return
    }
    case 'vote': {
      const { vote } = message
      const round = previous.round + 1
      if (vote.voter !== from || vote.run !== run.id || vote.round !== round || vote.attempt !== attempt) {
        throw new RejectedError(
          'reject',
          'wrong_vote',
          `The vote that ${from} sent is not its own, or of another round.`,
        )
      }
    }
  }
}

/** A committee's votes on another attempt's value would make a certificate that nobody takes. */
function checkAttempt(value: Value, attempt: number): void {
  if (value.attempt !== attempt) {
    throw new RejectedError('reject', 'wrong_round', `The value is of attempt ${value.attempt}, not ${attempt}.`)
  }
}
