import type { Hono } from 'hono'
import type { RoundView, RunView } from '../federation/index.ts'
import { OwmError } from '../lib/index.ts'
import type { GatewayComponents } from './index.ts'
import { type Env, limitOf } from './request.ts'

/** `/v1/model/versions`: every certified checkpoint this peer knows of, newest first; a version's id is its checkpoint's CID. */
export function serveVersions(app: Hono<Env>, federation: GatewayComponents['federation']): void {
  const versions = (): { run: RunView; round: RoundView }[] =>
    (federation?.runs() ?? [])
      .flatMap((run) => run.rounds.map((round) => ({ run, round })))
      .sort((a, b) => b.round.certifiedMs - a.round.certifiedMs || b.round.round - a.round.round)

  app.get('/v1/model/versions', (c) => {
    const limit = limitOf(c)
    const all = versions()
    const held = heldCheckpoints(federation)
    return c.json({
      total: all.length,
      versions: all.slice(0, limit).map(({ run, round }) => versionBody(run, round, held)),
    })
  })

  app.get('/v1/model/versions/:id', (c) => {
    const id = c.req.param('id')
    const found = versions().find(({ round }) => round.checkpoint === id)
    if (found === undefined) throw new OwmError('not_found', 'This peer knows no certified checkpoint of that CID.')
    const { run, round } = found
    return c.json({
      ...versionBody(run, round, heldCheckpoints(federation)),
      attempt: round.attempt,
      leader: round.leader,
      committee: round.committee,
      trainers: round.trainers,
      updates: round.updates,
      certificate: round.certificate,
      seconds: round.seconds,
      parameters: run.parameters,
      owner: run.owner,
    })
  })
}

/** Checkpoints whose weights are at hand: the ones that answer. */
function heldCheckpoints(federation: GatewayComponents['federation']): ReadonlySet<string> {
  return new Set((federation?.checkpoints() ?? []).map((checkpoint) => checkpoint.checkpoint))
}

function versionBody(run: RunView, round: RoundView, held: ReadonlySet<string>): Record<string, unknown> {
  return {
    id: round.checkpoint,
    model: run.name,
    run: run.id,
    round: round.round,
    signatures: round.signatures,
    certified_at: new Date(round.certifiedMs).toISOString(),
    loss_unit: run.unit,
    held_out_loss: round.heldOutLoss,
    held_out_accuracy: round.heldOutAccuracy,
    loaded: held.has(round.checkpoint),
    ots_verified: false,
  }
}
