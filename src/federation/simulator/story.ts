/** What happened, for people: one line each, with the virtual time. Told only where somebody listens. */
export class Story {
  readonly lines: string[] = []
  readonly #listens: boolean

  constructor(listens: boolean) {
    this.#listens = listens
  }

  tell(nowMs: number, line: () => string): void {
    if (this.#listens) this.lines.push(`${(nowMs / 1000).toFixed(3).padStart(9)} s  ${line()}`)
  }
}
