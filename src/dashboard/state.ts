import type { RoundView, RunView } from '../federation/index.ts'
import type { DashboardComponents } from './index.ts'
import type { Happening, TrainerProgress, Watch } from './watch.ts'

/** All that one rendering shows, read at one moment. */
export interface PageState {
  readonly nowMs: number
  readonly ask: boolean
  readonly mesh: string | null
  readonly self: string | null
  readonly nodes: readonly NodeState[]
  /** Peers beyond those in `nodes`. */
  readonly hiddenNodes: number
  /** Live peers, self included. */
  readonly livePeers: number
  readonly run: RunView | null
  readonly runs: readonly RunView[]
  /** Newest first. */
  readonly rounds: readonly RoundView[]
  readonly progress: ReadonlyMap<string, TrainerProgress>
  readonly baselines: readonly { readonly name: string; readonly bitsPerByte: number }[]
  readonly happenings: readonly Happening[]
}

export type Role = 'leader' | 'committee' | 'trainer' | 'peer'

export interface NodeState {
  readonly id: string
  readonly self: boolean
  /** Its manifest is fresh, or it is connected; a member of the round that is neither is missing. */
  readonly live: boolean
  readonly connected: boolean
  readonly latencyMs: number | null
  /** The foremost of its parts in the round. */
  readonly role: Role
  readonly trains: boolean
  readonly loadPermille: number | null
  readonly agent: string
}

/** More would be a cloud, not a picture. */
const maxNodes = 60

export function readState(
  { federation, manifests, network, baselines, clock }: DashboardComponents,
  watch: Watch,
  options: { readonly ask: boolean; readonly run: string | undefined },
): PageState {
  const runs = [...(federation?.runs() ?? [])].sort(byInterest)
  const run = runs.find((each) => each.id === options.run) ?? runs[0] ?? null
  const self = network?.self.toString() ?? null
  const nodes = readNodes(run, self, manifests?.view() ?? [], network?.peers() ?? [])
  return {
    nowMs: clock.now(),
    ask: options.ask,
    mesh: network?.meshId ?? null,
    self,
    nodes: nodes.slice(0, maxNodes),
    hiddenNodes: Math.max(0, nodes.length - maxNodes),
    livePeers: nodes.filter((node) => node.live).length,
    run,
    runs,
    rounds: [...(run?.rounds ?? [])].sort((a, b) => b.round - a.round),
    progress: run === null ? new Map() : watch.progress(run.id),
    baselines: (run === null ? [] : (baselines?.(run.id) ?? [])).filter((line) => Number.isFinite(line.bitsPerByte)),
    happenings: watch.happenings(),
  }
}

const interest: Readonly<Record<RunView['status'], number>> = {
  training: 0,
  stalled: 1,
  waiting: 2,
  paused: 3,
  finished: 4,
  cancelled: 5,
}

function byInterest(a: RunView, b: RunView): number {
  return interest[a.status] - interest[b.status] || (a.id < b.id ? -1 : 1)
}

function readNodes(
  run: RunView | null,
  self: string | null,
  view: ReturnType<NonNullable<DashboardComponents['manifests']>['view']>,
  links: ReturnType<NonNullable<DashboardComponents['network']>['peers']>,
): NodeState[] {
  const manifestOf = new Map(view.map((manifest) => [manifest.peer.toString(), manifest]))
  const linkOf = new Map(links.map((link) => [link.id.toString(), link]))
  const active = run !== null && run.status !== 'finished' ? run : null
  const committee = new Set(active?.committee)
  const roster = new Set(active?.roster)
  const ids = new Set([
    ...(self === null ? [] : [self]),
    ...manifestOf.keys(),
    ...linkOf.keys(),
    ...committee,
    ...roster,
  ])
  const rank: Readonly<Record<Role, number>> = { leader: 0, committee: 1, trainer: 2, peer: 3 }
  return [...ids]
    .map((id): NodeState => {
      const link = linkOf.get(id)
      const manifest = manifestOf.get(id)
      return {
        id,
        self: id === self,
        live: id === self || link !== undefined || manifest !== undefined,
        connected: link !== undefined,
        latencyMs: link?.latencyMs ?? null,
        role: active?.leader === id ? 'leader' : committee.has(id) ? 'committee' : roster.has(id) ? 'trainer' : 'peer',
        trains: roster.has(id),
        loadPermille: manifest?.loadPermille ?? null,
        agent: manifest?.agent ?? '',
      }
    })
    .sort((a, b) => Number(b.self) - Number(a.self) || rank[a.role] - rank[b.role] || (a.id < b.id ? -1 : 1))
}
