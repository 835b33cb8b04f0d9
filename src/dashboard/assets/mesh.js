// Sets the mesh in motion: peers drift a little around their places, glide when the circle changes, and what one sends
// to another is seen to fly. Without motion, where the reader prefers so, everything stands where the server put it.

const driftPixels = 3.5
const flightMs = 1100
const leaveMs = 600
const frameMs = 33
const svgNames = 'http://www.w3.org/2000/svg'

export function startMotion(document) {
  const still = matchMedia('(prefers-reduced-motion: reduce)')
  /** Peer id -> where it is, where it belongs, and its own rhythm. */
  const peers = new Map()
  let flights = []
  let lastMs = 0

  const mesh = () => document.querySelector('svg.mesh')

  /** Takes up the places that the server gave. */
  function read() {
    const seen = new Set()
    for (const element of document.querySelectorAll('.mesh .node')) {
      const id = element.dataset.node
      const home = { x: Number(element.dataset.x), y: Number(element.dataset.y) }
      const peer = peers.get(id)
      seen.add(id)
      if (peer === undefined) peers.set(id, { ...home, home, element, beat: 6.28 * Math.random(), rippledMs: 0 })
      else Object.assign(peer, { home, element })
    }
    for (const id of peers.keys()) if (!seen.has(id)) peers.delete(id)
    if (still.matches) draw(0)
  }

  function draw(nowMs) {
    const seconds = nowMs / 1000
    for (const peer of peers.values()) {
      const drift = still.matches || peer.element.classList.contains('self') ? 0 : driftPixels
      const x = peer.home.x + drift * Math.sin(0.5 * seconds + peer.beat)
      const y = peer.home.y + drift * Math.cos(0.37 * seconds + 1.7 * peer.beat)
      const ease = still.matches ? 1 : 0.08
      peer.x += (x - peer.x) * ease
      peer.y += (y - peer.y) * ease
      peer.element.setAttribute('transform', `translate(${peer.x.toFixed(1)} ${peer.y.toFixed(1)})`)
    }
    const centre = peers.get(mesh()?.dataset.self)
    for (const line of document.querySelectorAll('.mesh .link')) {
      const peer = peers.get(line.dataset.to)
      if (peer === undefined || centre === undefined) continue
      for (const [name, value] of [
        ['x1', centre.x],
        ['y1', centre.y],
        ['x2', peer.x],
        ['y2', peer.y],
      ]) {
        line.setAttribute(name, value.toFixed(1))
      }
    }
    flights = flights.filter(({ dot, from, to, startMs }) => {
      const part = (nowMs - startMs) / flightMs
      const [a, b] = [peers.get(from), peers.get(to)]
      if (part >= 1 || a === undefined || b === undefined) {
        dot.remove()
        return false
      }
      const eased = part < 0 ? 0 : part * part * (3 - 2 * part)
      dot.setAttribute('cx', (a.x + (b.x - a.x) * eased).toFixed(1))
      dot.setAttribute('cy', (a.y + (b.y - a.y) * eased).toFixed(1))
      return true
    })
  }

  function tick(nowMs) {
    if (!document.hidden && !still.matches && nowMs - lastMs >= frameMs) {
      lastMs = nowMs
      draw(nowMs)
    }
    requestAnimationFrame(tick)
  }

  function fly(from, to) {
    if (still.matches || document.hidden || from === to || !peers.has(from) || !peers.has(to)) return
    const dot = document.createElementNS(svgNames, 'circle')
    dot.setAttribute('class', 'flight')
    dot.setAttribute('r', '3.5')
    document.querySelector('.mesh .flights')?.append(dot)
    flights.push({ dot, from, to, startMs: performance.now() })
  }

  function ripple(id) {
    const peer = peers.get(id)
    const nowMs = performance.now()
    if (peer === undefined || still.matches || document.hidden || nowMs - peer.rippledMs < 1500) return
    peer.rippledMs = nowMs
    const ring = document.createElementNS(svgNames, 'circle')
    ring.setAttribute('class', 'ripple')
    ring.setAttribute('r', '8')
    ring.setAttribute('cx', peer.x.toFixed(1))
    ring.setAttribute('cy', peer.y.toFixed(1))
    document.querySelector('.mesh .flights')?.append(ring)
    ring.addEventListener('animationend', () => ring.remove())
  }

  /** What an event looks like. */
  function show(event) {
    const { self, leader } = mesh()?.dataset ?? {}
    switch (event.type) {
      case 'train-progress':
        return ripple(event.trainer ?? self)
      case 'update-accepted':
        return fly(event.trainer, leader)
      case 'round-certified':
        for (const id of peers.keys()) fly(event.round.leader, id)
        return ripple(event.round.leader)
      case 'leader-passed-over':
        return fly(event.leader, event.next)
      case 'peer-joined':
        return ripple(event.peer)
    }
  }

  /** Takes something out of the page; a peer fades first. */
  function leave(node) {
    if (!(node instanceof Element) || !node.classList.contains('node') || still.matches) return node.remove()
    node.classList.add('leaving')
    setTimeout(() => node.remove(), leaveMs)
  }

  read()
  requestAnimationFrame(tick)
  return { read, show, leave }
}
