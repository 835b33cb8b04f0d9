// The box to ask: streams the answer after the question, and names the checkpoint that it came from.

export function startAsking(document, { enhance }) {
  const form = document.getElementById('ask-form')
  if (form === null) return
  const question = document.getElementById('question')
  const answer = document.getElementById('answer')
  const source = document.getElementById('answer-source')
  const submit = form.querySelector('[type=submit]')
  let asking = null

  for (const button of form.querySelectorAll('button')) button.disabled = false
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    if (asking === null) ask()
    else asking.abort()
  })
  form.addEventListener('click', (click) => {
    const example = click.target instanceof Element ? click.target.closest('.example') : null
    if (example === null) return
    question.value = example.dataset.example
    if (asking === null) ask()
  })
  question.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    form.requestSubmit()
  })

  async function ask() {
    if (question.value === '') return
    asking = new AbortController()
    const [asked, told] = [document.createElement('span'), document.createElement('span')]
    asked.className = 'asked'
    asked.textContent = question.value
    answer.replaceChildren(asked, told)
    answer.classList.add('answering')
    answer.setAttribute('aria-busy', 'true')
    submit.classList.add('busy')
    submit.textContent = 'Stop'
    source.textContent = 'Asking…'
    let characters = 0
    try {
      const reply = await fetch('/v1/query/stream', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ question: question.value, max_tokens: 320 }),
        signal: asking.signal,
      })
      if (!reply.ok) throw new Error((await reply.json()).detail)
      for await (const { type, data } of eventsOf(reply.body)) {
        if (type === 'text') {
          told.append(data.text)
          characters += data.text.length
          answer.scrollTop = answer.scrollHeight
        }
        if (type === 'start') source.replaceChildren(...named(data, 'answers'))
        if (type === 'error') throw new Error(data.detail)
        if (type === 'done') {
          source.replaceChildren(...named(data, `answered in ${(data.latency_ms / 1000).toFixed(1)} s`))
        }
      }
    } catch (error) {
      if (asking.signal.aborted) source.append(` Stopped after ${characters} characters.`)
      else source.textContent = error.message
    } finally {
      asking = null
      answer.classList.remove('answering')
      answer.setAttribute('aria-busy', 'false')
      submit.classList.remove('busy')
      submit.textContent = 'Ask'
    }
  }

  /** `Checkpoint bafy…x7k2q of round 5 answers` */
  function named(data, verb) {
    const cid = document.createElement('span')
    const code = document.createElement('code')
    const copy = document.createElement('button')
    const text = data.model_version
    cid.className = 'cid'
    code.textContent = text.length <= 14 ? text : `${text.slice(0, 7)}…${text.slice(-5)}`
    code.title = text
    copy.type = 'button'
    copy.className = 'copy'
    copy.dataset.copy = text
    copy.setAttribute('aria-label', "Copy the checkpoint's CID")
    const drawing = document.querySelector('.copy svg')
    if (drawing !== null) copy.append(drawing.cloneNode(true))
    cid.append(code, copy)
    enhance(cid)
    const [before, after] = [document.createElement('span'), document.createElement('span')]
    before.textContent = 'Checkpoint'
    after.textContent = `of round ${data.round} ${verb}`
    return [before, cid, after]
  }
}

/** The events of a stream of server-sent events that was asked for with POST, which EventSource cannot. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const frames = (rest + next.value).split('\n\n')
    rest = frames.pop() ?? ''
    for (const frame of frames) {
      const fields = new Map(
        frame.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      )
      if (fields.has('data')) yield { type: fields.get('event'), data: JSON.parse(fields.get('data')) }
    }
  }
}
