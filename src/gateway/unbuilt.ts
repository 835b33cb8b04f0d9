import type { Hono } from 'hono'
import { OwmError } from '../lib/index.ts'
import type { Env } from './request.ts'

/** Paths of the API's specification that no room serves yet: 501 tells a client that asking again later makes sense. */
const unbuiltPaths = [
  '/v1/embeddings',
  '/v1/model/versions/:id/ots',
  '/v1/network/slashing-log',
  '/v1/nodes/*',
  '/v1/payments/*',
  '/v1/stake/*',
  '/v1/mining/*',
  '/v1/governance/proposals/*',
  '/v1/github/*',
] as const

export function serveUnbuilt(app: Hono<Env>): void {
  for (const path of unbuiltPaths) {
    app.all(path, (c) => {
      throw new OwmError('not_implemented', `${c.req.path} is part of OWM's API and is not built yet.`)
    })
  }
}
