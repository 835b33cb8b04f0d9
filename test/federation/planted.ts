import { checkVotes, electionOf, type Value } from '../../src/federation/certificate.ts'
import type { Effect, Event, RoundState, Step } from '../../src/federation/round-state.ts'
import { type Rules, productionRules as right } from '../../src/federation/simulator/rules.ts'
import type { Scenario } from '../../src/federation/simulator/scenario.ts'

/** Mistakes that somebody could make in the rules of a round, each put in the place of what is right. */
export interface Mistake {
  readonly rules: Rules
  /** The weather in which it does harm. */
  readonly scenario: Partial<Scenario>
}

type Change = (state: RoundState, event: Event, nowMs: number) => Step | null

/** The machine, but where `change` has something to say. */
const stepping = (change: Change): Rules => ({
  ...right,
  step: (state, event, nowMs) => change(state, event, nowMs) ?? right.step(state, event, nowMs),
})
const withQuorum = (quorum: (right: number) => number): Rules => ({
  ...right,
  begin: (config, ...rest) => right.begin({ ...config, quorum: quorum(config.quorum) }, ...rest),
})
const isVote = (event: Event, phase: 'prepare' | 'commit') =>
  event.type === 'message' && event.message.kind === 'vote' && event.message.vote.phase === phase
    ? event.message.vote
    : null
/** What a member does when it votes for a value. */
const preparing = (state: RoundState, view: number, value: Value): Step => {
  const prepared = { view, value, justify: null }
  const effects: Effect[] = [
    { type: 'persist', record: { view: state.view, prepared, lock: state.lock } },
    { type: 'vote', phase: 'prepare', view, value: value.id },
  ]
  return { state: { ...state, prepared, values: { ...state.values, [value.id]: value } }, effects }
}

const liars = { peers: 7, faults: 'byzantine', committeeSize: 4, liars: 2, minimumTrainers: 2 } as const
const storm = { lossPermille: 150, maxDelayMs: 300, slowPeers: 1, crashes: 6 }

export const mistakes: Readonly<Record<string, Mistake>> = {
  'a signature is not checked': { rules: { ...right, verify: () => undefined }, scenario: liars },
  'a duplicate is counted twice': {
    // Votes of one member, come twice, make a quorum of two.
    rules: stepping((state, event) => {
      const vote = isVote(event, 'commit')
      const known = vote && state.votes[`${vote.view}/commit/${vote.value}`]
      const value = vote && state.values[vote.value]
      if (!vote || !known || !value || !(vote.voter in known)) return null
      const votes = Object.values(known)
      if (votes.length + 1 < state.config.quorum) return null
      return { state: { ...state, certified: true }, effects: [{ type: 'certify', value, view: vote.view, votes }] }
    }),
    scenario: { duplicatePermille: 300, ...storm },
  },
  'two proposals are accepted in one view': {
    rules: stepping((state, event) => {
      if (event.type !== 'message' || event.message.kind !== 'proposal') return null
      const { view, value } = event.message
      if (view !== state.view || state.prepared === null || state.prepared.value.id === value.id) return null
      const { state: after, effects } = preparing({ ...state, lock: null }, view, value)
      return { state: after, effects: [...effects, { type: 'vote', phase: 'commit', view, value: value.id }] }
    }),
    scenario: { ...liars, peers: 4, liars: 1, lossPermille: 50 },
  },
  'votes are forgotten over a restart': {
    rules: {
      ...right,
      begin: (config, connected, nowMs, recovered) =>
        right.begin(config, connected, nowMs, recovered && { ...recovered, record: null }),
    },
    scenario: { tornPermille: 25, lossPermille: 200, maxDelayMs: 400, committeeSize: 3 },
  },
  'acknowledged when closed': {
    rules: stepping((state, event, nowMs) => {
      if (event.type !== 'offered') return null
      const step = right.step(state, event, nowMs)
      const answer = step.effects.find((effect) => effect.type === 'answer')
      if (answer?.type !== 'answer' || answer.outcome !== 'closed') return step
      return { ...step, effects: [{ ...answer, outcome: 'stored' }] }
    }),
    scenario: { ...storm, slowPeers: 3 },
  },
  'the quorum is one too small': { rules: withQuorum((quorum) => quorum - 1), scenario: storm },
  'the lock is ignored': {
    rules: stepping((state, event, nowMs) => right.step({ ...state, lock: null }, event, nowMs)),
    scenario: { ...storm, tornPermille: 20, committeeSize: 3 },
  },
  'certified with votes of different views': {
    rules: stepping((state, event) => {
      const vote = isVote(event, 'commit')
      const value = vote && state.values[vote.value]
      if (!vote || !value) return null
      const others = Object.entries(state.votes).filter(([key]) => key.endsWith(`/commit/${vote.value}`))
      const votes = new Map(others.flatMap(([, known]) => Object.entries(known))).set(vote.voter, vote)
      if (votes.size < state.config.quorum) return null
      const effects: Effect[] = [{ type: 'certify', value, view: vote.view, votes: [...votes.values()] }]
      return { state: { ...state, certified: true }, effects }
    }),
    scenario: { ...storm, lossPermille: 400 },
  },
  'a held update is left out of a report': {
    rules: stepping((state, event, nowMs) => {
      const step = right.step(state, event, nowMs)
      const effects = step.effects.map((effect): Effect => {
        if (effect.type !== 'send' || effect.message.kind !== 'report') return effect
        return { ...effect, message: { ...effect.message, held: effect.message.held.slice(1) } }
      })
      // And it does not insist on it either.
      return {
        state: event.type === 'message' && event.message.kind === 'close' ? without(step.state) : step.state,
        effects,
      }
    }),
    scenario: { ...storm, slowPeers: 2 },
  },
  'an update of another base is taken': {
    rules: {
      ...right,
      checkNotice: () => undefined,
      judgeMessage: (run, previous, election, from, message) => {
        if (message.kind === 'report' || message.kind === 'proposal') return
        right.judgeMessage(run, previous, election, from, message)
      },
      judgeCertificate: (run, previous, { value, view, votes }) =>
        checkVotes(electionOf(run, previous, value.attempt), value, view, 'commit', votes),
    },
    scenario: { ...liars, liars: 3, peers: 10 },
  },
  'a later attempt needs no proof': {
    rules: stepping((state, event) => {
      if (event.type !== 'abandoned' || event.abandons[0]?.attempt !== state.config.attempt) return null
      return {
        state: { ...state, left: true },
        effects: [{ type: 'enter', attempt: state.config.attempt + 1, proof: event.abandons }],
      }
    }),
    scenario: liars,
  },
  'the higher attempt stands for some': {
    rules: { ...right, stands: (a) => a },
    scenario: { peers: 12, committeeSize: 3, partitions: 6, maxDelayMs: 200, crashes: 9, duplicatePermille: 90 },
  },
}

function without(state: RoundState): RoundState {
  const first = state.held.keys().find((trainer) => trainer !== state.config.self)
  return first === undefined ? state : { ...state, held: state.held.without(first) }
}
