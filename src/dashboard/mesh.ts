import { html, type Markup } from './markup.ts'
import type { NodeState, PageState } from './state.ts'
import { cleanName, plural, shortPeer } from './words.ts'

const width = 420
const height = 320
/** Peers on one ring before a second is opened. */
const ringCapacity = 14
/** With more peers than this, only the foremost are named. */
const maxLabels = 14

interface Place {
  readonly x: number
  readonly y: number
}

/** The mesh as this peer sees it: itself in the middle, a line for each connection. The page's script sets it in gentle motion. */
export function renderMesh(state: PageState): Markup {
  const places = placeNodes(state.nodes)
  const labelled = state.nodes.length <= maxLabels
  const centre = places.get(state.self ?? '')
  const lines = state.nodes.flatMap((node) => {
    const place = places.get(node.id)
    if (!node.connected || place === undefined || centre === undefined) return []
    return [
      html`<line class="link" data-to="${node.id}" x1="${centre.x}" y1="${centre.y}" x2="${place.x}" y2="${place.y}"/>`,
    ]
  })
  const nodes = state.nodes.map((node) =>
    renderNode(node, places.get(node.id) ?? { x: 0, y: 0 }, labelled, isTriangle(state.nodes)),
  )
  return html`<section id="mesh" class="panel" aria-labelledby="mesh-title">
<h2 id="mesh-title">The mesh <small>${plural(state.livePeers, 'peer')}</small></h2>
<svg class="mesh" viewBox="0 0 ${width} ${height}" role="img" aria-label="${describe(state)}" data-self="${state.self ?? ''}" data-leader="${state.run?.leader ?? ''}">
<g class="links">${lines}</g><g class="flights" data-mine></g><g class="nodes">${nodes}</g>
</svg>
<ul class="legend" aria-hidden="true">
<li><svg viewBox="-9 -9 18 18"><circle class="halo" r="8"/><circle class="dot leader" r="4.5"/></svg>leader</li>
<li><svg viewBox="-9 -9 18 18"><circle class="dot committee" r="5"/></svg>committee</li>
<li><svg viewBox="-9 -9 18 18"><circle class="dot trainer" r="4.5"/></svg>trainer</li>
<li><svg viewBox="-9 -9 18 18"><circle class="dot missing" r="4.5"/></svg>missing</li>
${state.hiddenNodes > 0 && html`<li>and ${plural(state.hiddenNodes, 'more peer')}</li>`}
</ul>
</section>`
}

function renderNode(node: NodeState, { x, y }: Place, labelled: boolean, triangle: boolean): Markup {
  const look = node.live ? node.role : 'missing'
  // At the top of a triangle the name stands above, clear of the lines.
  const below = node.self || node.role === 'leader' ? 27 : 22
  const named = labelled || node.self || node.role === 'leader'
  return html`<g class="node${node.self ? ' self' : ''}" id="node-${node.id}" data-node="${node.id}" data-x="${x}" data-y="${y}" transform="translate(${x} ${y})">
<title>${titleOf(node)}</title>
${node.live && node.role === 'leader' && html`<circle class="halo" r="13"/>`}<circle class="dot ${look}" r="${node.self ? 8 : 6.5}"/>
${named && html`<text y="${triangle && node.self ? -20 : below}">${shortPeer(node.id)}</text>`}
</g>`
}

function isTriangle(nodes: readonly NodeState[]): boolean {
  return nodes.length === 3 && nodes.some((node) => node.self)
}

function titleOf(node: NodeState): string {
  return [
    node.self ? `${shortPeer(node.id)}, this peer` : shortPeer(node.id),
    node.live ? partOf(node) : 'missing',
    node.latencyMs === null ? '' : `${Math.round(node.latencyMs)} ms away`,
    node.loadPermille === null ? '' : `load ${Math.round(node.loadPermille / 10)} %`,
    cleanName(node.agent),
  ]
    .filter((part) => part !== '')
    .join(', ')
}

function partOf(node: NodeState): string {
  const part = node.role === 'committee' ? 'in the committee' : node.role === 'peer' ? '' : node.role
  return node.trains && node.role !== 'trainer' ? [part, 'trains'].filter((each) => each !== '').join(', ') : part
}

function describe(state: PageState): string {
  const members = state.nodes.slice(0, maxLabels).map(titleOf)
  return `The mesh: ${plural(state.livePeers, 'live peer')}. ${members.join('; ')}.`
}

/**
 * Where each peer stands: this one in the middle, the others around it by id, so that nobody moves when a role does.
 * Three are a triangle with this one at the top; for four others, half a step of turn keeps their lines clear of the
 * name below the middle.
 */
function placeNodes(nodes: readonly NodeState[]): Map<string, Place> {
  const places = new Map<string, Place>()
  const others = nodes.filter((node) => !node.self).sort((a, b) => (a.id < b.id ? -1 : 1))
  const middle = { x: width / 2, y: height / 2 - 6 }
  const triangle = isTriangle(nodes)
  const own = triangle ? { x: middle.x, y: 56 } : middle
  for (const node of nodes) if (node.self) places.set(node.id, own)
  const rings = Math.max(1, Math.ceil(others.length / ringCapacity))
  others.forEach((node, i) => {
    const ring = i % rings
    const inRing = Math.ceil((others.length - ring) / rings)
    const turn = (Math.floor(i / rings) + ring / rings) / inRing - 0.25 + (others.length === 4 ? 1 / (2 * inRing) : 0)
    const reach = rings === 1 ? (others.length <= 4 ? 1 : 0.88) : 0.5 + (0.5 * ring) / (rings - 1)
    if (triangle) {
      places.set(node.id, { x: middle.x + (i === 0 ? -128 : 128), y: height - 76 })
      return
    }
    places.set(node.id, {
      x: Math.round(middle.x + Math.cos(2 * Math.PI * turn) * (width / 2 - 34) * reach),
      y: Math.round(middle.y + Math.sin(2 * Math.PI * turn) * (height / 2 - 34) * reach),
    })
  })
  return places
}
