import { type Clock, formatBytes, systemClock } from '../lib/index.ts'
import { plotLines, showsUnicode, smoothed } from './plot.ts'
import type { Terminal } from './terminal.ts'
import { createCurve } from './training-view/curve.ts'
import type { Event, TrainingViewEvent } from './training-view/event.ts'
import { createPace } from './training-view/pace.ts'
import { bar, packed } from './training-view/pieces.ts'
import { compact, duration, loss, whole } from './training-view/words.ts'

export type { TrainingViewEvent }

/** What a person watches while a model trains: where it is, how fast, how long still, and the curve of its loss. */
export interface TrainingView {
  event(event: TrainingViewEvent): void
  /** Leaves what is drawn where it is. */
  stop(): void
}

export interface TrainingViewInit {
  readonly clock?: Clock
  /** Of the plot's steps. */
  readonly x?: 'linear' | 'log'
  readonly unicode?: boolean
}

/** Redrawing more often than the eye follows takes time from the training. */
const redrawMs = 250
/** Where nothing can be redrawn, a line is due after this time, or this share of the time passed, and with each share of steps. */
const lineMs = 10_000
const lineShare = 1 / 20
const leastLineMs = 1000
/** Columns that stay free, so that no line wraps. */
const margin = 3
const plotHeight = 14
const smallestPlot = 6
const widestPlot = 100
/** The curve of single batches is smoothed once it has so many points. */
const smoothFrom = 50
const smoothing = 0.8

export function createTrainingView(terminal: Terminal, init: TrainingViewInit = {}): TrainingView {
  const { clock = systemClock, x = 'linear', unicode = showsUnicode() } = init
  const { style } = terminal
  const coloured = style.cyan('') !== ''
  const pace = createPace()
  const training = createCurve()
  const heldOut = createCurve()
  const startedMs = clock.now()
  let started: Event<'started'> | null = null
  let progress: Event<'progress'> | null = null
  let measured: Event<'measured'> | null = null
  let saved: Event<'saved'> | null = null
  let drawnMs = Number.NEGATIVE_INFINITY
  let cancelRedraw: (() => void) | null = null
  let toldMs = startedMs
  let toldStep = 0

  const secondsLeft = (): number | null => {
    const stepMs = pace.stepMs()
    if (started === null || progress === null || stepMs === null) return null
    return ((started.steps - progress.step) * stepMs) / 1000
  }
  const heldOutWords = ({ loss: value, accuracy }: Event<'measured'>): string =>
    `${loss(value)} ${started?.unit ?? ''}${accuracy === undefined ? '' : `, ${(accuracy * 100).toFixed(2)} % right`}`
  const speedWords = (): string[] => {
    if (progress === null) return []
    const left = secondsLeft()
    return [
      `${compact(progress.stepsPerSecond)} steps/s`,
      `${compact(progress.examplesPerSecond)} examples/s`,
      ...(left === null || left <= 0 ? [] : [`${duration(left)} left`]),
      `memory ${formatBytes(progress.memoryBytes)}`,
      ...(saved === null ? [] : [`saved step ${whole(saved.step)}, ${formatBytes(saved.bytes)}`]),
    ]
  }

  const facts = (): string[] => {
    if (progress === null || started === null) return []
    const now = `loss ${loss(progress.loss)} ${started.unit}`
    const rows = packed(
      [
        { text: now, paint: style.bold },
        ...(measured === null ? [] : [{ text: `held out ${heldOutWords(measured)}`, paint: style.yellow }]),
        { text: `rate ${progress.learningRate.toPrecision(3)}`, paint: style.dim },
      ],
      terminal.columns - margin,
    )
    const speed = packed(
      speedWords().map((text) => ({ text, paint: style.dim })),
      terminal.columns - margin,
    )
    return [...rows, ...speed].map((row) => `  ${row}`)
  }
  const plot = (room: number): string[] => {
    const raw = training.points()
    const values = raw.map(([, y]) => y)
    const shown = raw.length < smoothFrom ? values : smoothed(values, smoothing)
    const height = Math.min(plotHeight, room)
    if (height < smallestPlot) return []
    return plotLines(
      [
        { name: 'training', points: raw.map(([step], i) => [step, shown[i]!] as const), paint: style.cyan },
        { name: 'held out', points: heldOut.points(), paint: style.yellow, dashed: !coloured },
      ],
      { width: Math.min(widestPlot, terminal.columns - margin), height, x, xName: 'step', ascii: !unicode },
    ).map((line) => `  ${line}`)
  }
  const block = (): string[] => {
    if (started === null) return []
    const step = progress?.step ?? started.resumedAt ?? 0
    const width = terminal.columns - margin
    const rows = ['', `  ${bar(step, started.steps, width, style, unicode)}`, ...facts()]
    // The cursor stands below.
    return [...rows, ...plot(terminal.rows - 1 - rows.length)].slice(0, Math.max(1, terminal.rows - 1))
  }

  const draw = (): void => {
    cancelRedraw?.()
    cancelRedraw = null
    drawnMs = clock.now()
    terminal.draw(block())
  }
  const drawSoon = (): void => {
    if (!terminal.live) return
    const dueMs = drawnMs + redrawMs - clock.now()
    if (dueMs <= 0) draw()
    else cancelRedraw ??= clock.after(dueMs, draw)
  }
  const tell = (line: string): void => {
    if (!terminal.live) terminal.say(line)
  }
  const tellProgress = ({ step, loss: value }: Event<'progress'>): void => {
    if (started === null || terminal.live) return
    const now = clock.now()
    const pausedMs = now - toldMs
    const shareMade = (step - toldStep) / started.steps
    const due = pausedMs >= Math.max(lineMs, (now - startedMs) * lineShare)
    if (!due && !(shareMade >= lineShare && pausedMs >= leastLineMs)) return
    toldMs = now
    toldStep = step
    const share = Math.floor((step / started.steps) * 100)
    const words = [`step ${whole(step)} of ${whole(started.steps)} (${share} %)`, `loss ${loss(value)} ${started.unit}`]
    terminal.say([...words, ...speedWords()].join('  '))
  }

  return {
    event: (event) => {
      switch (event.kind) {
        case 'started': {
          started = event
          toldStep = event.resumedAt ?? 0
          for (const line of heading(event, terminal)) terminal.say(line)
          break
        }
        case 'progress':
          progress = event
          pace.at(event.step, clock.now())
          training.add(event.step, event.loss)
          tellProgress(event)
          break
        case 'measured':
          measured = event
          heldOut.add(event.step, event.loss)
          tell(`step ${whole(event.step)}: held out ${heldOutWords(event)}`)
          break
        case 'saved':
          saved = event
          break
        case 'finished': {
          cancelRedraw?.()
          cancelRedraw = null
          if (terminal.live) for (const line of plot(plotHeight)) terminal.say(line)
          const ends = [
            `${whole(event.step)} steps in ${duration(event.seconds)}`,
            `loss ${loss(event.loss)} ${started?.unit ?? ''}`.trimEnd(),
            ...(measured === null ? [] : [`held out ${heldOutWords(measured)}`]),
          ]
          started = null
          terminal.say(`${terminal.live ? `  ${style.green(unicode ? '✓' : 'done:')} ` : ''}${ends.join(', ')}`)
          return
        }
      }
      drawSoon()
    },
    stop: () => {
      cancelRedraw?.()
      cancelRedraw = null
      if (terminal.live) for (const line of block()) terminal.say(line)
      started = null
    },
  }
}

function heading(event: Event<'started'>, { style }: Terminal): string[] {
  const { model, parameters, data, examples, batch, resumedAt } = event
  const size = examples === undefined ? '' : `, ${whole(examples)} examples`
  const from = resumedAt === undefined ? '' : `, on from step ${whole(resumedAt)}`
  return [
    `${style.bold(model)} (${compact(parameters)} parameters) on ${data}${size}, batches of ${whole(batch)}${from}`,
  ]
}
