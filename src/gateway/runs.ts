import type { Hono } from 'hono'
import type { RoundObservation, RoundView, RunView } from '../federation/index.ts'
import { OwmError } from '../lib/index.ts'
import type { GatewayComponents } from './index.ts'
import { type Env, limitOf } from './request.ts'

/** `/v1/runs` and `/v1/runs/<id>`: federated runs as this peer knows them. */
export function serveRuns(app: Hono<Env>, federation: GatewayComponents['federation']): void {
  app.get('/v1/runs', (c) => {
    const limit = limitOf(c)
    const runs = federation?.runs() ?? []
    return c.json({ total: runs.length, runs: runs.slice(0, limit).map(runBody) })
  })

  app.get('/v1/runs/:id', (c) => {
    const limit = limitOf(c)
    const run = (federation?.runs() ?? []).find(({ id }) => id === c.req.param('id'))
    if (run === undefined) throw new OwmError('not_found', 'This peer knows no run of that id.')
    const observed = new Map(run.observed.map((each) => [each.round, each]))
    return c.json({
      ...runBody(run),
      specification: run.specification,
      leader: run.leader,
      committee: run.committee,
      roster: run.roster,
      // The newest first.
      rounds: [...run.rounds]
        .reverse()
        .slice(0, limit)
        .map((round) => roundBody(round, observed.get(round.round))),
    })
  })
}

function runBody(run: RunView): Record<string, unknown> {
  return {
    id: run.id,
    model: run.name,
    owner: run.owner,
    status: run.status,
    round: run.round,
    total_rounds: run.totalRounds,
    certified_rounds: run.rounds.length,
    phase: run.phase,
    trainers: run.roster.length,
    parameters: run.parameters,
    loss_unit: run.unit,
    initial_loss: run.initialLoss,
    control: run.control && { action: run.control.action, last: run.control.last },
  }
}

function roundBody(round: RoundView, seen: RoundObservation | undefined): Record<string, unknown> {
  return {
    round: round.round,
    attempt: round.attempt,
    leader: round.leader,
    committee: round.committee,
    trainers: round.trainers,
    updates: round.updates,
    update_bytes: round.updateBytes,
    samples: round.samples,
    signatures: round.signatures,
    checkpoint: round.checkpoint,
    certificate: round.certificate,
    certified_at: new Date(round.certifiedMs).toISOString(),
    seconds: round.seconds,
    held_out_loss: round.heldOutLoss,
    held_out_accuracy: round.heldOutAccuracy,
    /** Null for rounds before this peer started. */
    observed: seen === undefined ? null : observedBody(seen),
  }
}

function observedBody(seen: RoundObservation): Record<string, unknown> {
  return {
    sent_bytes: seen.sentBytes,
    received_bytes: seen.receivedBytes,
    rejected: seen.rejected,
    passed_over: seen.passedOver,
  }
}
