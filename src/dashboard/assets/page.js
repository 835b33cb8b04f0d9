// Keeps the page fresh: listens to what happens, fetches the same fragments that the server renders, and puts in place
// what differs, so that focus, selection and the motion of the mesh are left alone.
import { startAsking } from './ask.js'
import { startMotion } from './mesh.js'

/** Events come in bursts; the page is brought up to date at most so often, and at least so often. */
const freshenMs = 600
const idleMs = 10_000
const copiedMs = 1200

const types = [
  'run-joined',
  'round-started',
  'train-progress',
  'update-accepted',
  'update-rejected',
  'leader-passed-over',
  'round-certified',
  'evaluated',
  'run-controlled',
  'run-finished',
  'peer-joined',
  'peer-updated',
  'peer-left',
  'peer-connected',
  'peer-disconnected',
]

const motion = startMotion(document)
let fetching = false
let due = 0

function freshenSoon(ms = freshenMs) {
  if (due === 0) due = setTimeout(freshen, ms)
}

async function freshen() {
  due = 0
  if (fetching || document.hidden) return freshenSoon(freshenMs)
  fetching = true
  try {
    const reply = await fetch(document.body.dataset.fragments ?? `/fragments${location.search}`, {
      signal: AbortSignal.timeout(idleMs),
    })
    if (reply.ok) {
      for (const [id, text] of Object.entries(await reply.json())) place(id, text)
      motion.read()
    }
  } catch {
    // The peer is away or slow; the next round of the clock tries again.
  } finally {
    fetching = false
  }
}

function place(id, text) {
  const old = document.getElementById(id)
  const fresh = new DOMParser().parseFromString(text, 'text/html').body.firstElementChild
  if (old === null || fresh === null) return
  enhance(fresh)
  morph(old, fresh)
}

/** What only a page with scripts has: the reader's own time zone, and buttons that copy. */
function enhance(root) {
  for (const time of root.querySelectorAll('time')) {
    time.textContent = new Date(time.dateTime).toLocaleTimeString('en-GB')
  }
  for (const button of root.querySelectorAll('.copy')) button.hidden = false
}

/** Makes `old` like `fresh`. Children are matched by id, else by place. What is marked `data-mine` belongs to the scripts. */
function morph(old, fresh) {
  if (old.hasAttribute('data-mine')) return
  const moved = old.hasAttribute('data-x') || old.classList.contains('link')
  for (const { name, value } of fresh.attributes) {
    const placed = moved && ['transform', 'x1', 'y1', 'x2', 'y2'].includes(name)
    if (!placed && old.getAttribute(name) !== value) old.setAttribute(name, value)
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name)
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]))
  let at = old.firstChild
  for (const child of [...fresh.childNodes]) {
    const named = child.id ? known.get(child.id) : undefined
    const same = named ?? (at !== null && alike(at, child) ? at : undefined)
    if (same === undefined) {
      if (child.nodeName === 'g' && child.id) child.classList.add('arriving')
      old.insertBefore(child, at)
      continue
    }
    if (same === at) at = at.nextSibling
    else old.insertBefore(same, at)
    if (same.nodeType === Node.ELEMENT_NODE) morph(same, child)
    else if (same.data !== child.data) same.data = child.data
  }
  while (at !== null) {
    const next = at.nextSibling
    motion.leave(at)
    at = next
  }
}

function alike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && !a.id && !b.id
}

function listen() {
  const pulse = document.querySelector('.pulse')
  const source = new EventSource('/v1/events')
  source.addEventListener('open', () => {
    pulse?.classList.add('live')
    freshenSoon(0)
  })
  source.addEventListener('error', () => pulse?.classList.remove('live'))
  for (const type of types) {
    source.addEventListener(type, (message) => {
      motion.show(JSON.parse(message.data))
      freshenSoon()
    })
  }
}

document.addEventListener('click', async (click) => {
  const button = click.target instanceof Element ? click.target.closest('.copy') : null
  if (button === null) return
  await navigator.clipboard.writeText(button.dataset.copy)
  button.classList.add('done')
  setTimeout(() => button.classList.remove('done'), copiedMs)
})

enhance(document.body)
startAsking(document, { enhance })
listen()
setInterval(freshenSoon, idleMs, 0)
