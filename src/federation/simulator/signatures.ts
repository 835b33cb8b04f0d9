/**
 * Signatures without the arithmetic: a statement is genuine when its author made this very object. Who has not the author's
 * key can copy what was signed, and can make up statements, but those are not genuine: what Ed25519 gives, at the price
 * of a look-up, so that a thousand peers can check all that they get.
 */
export class Signatures {
  readonly #authors = new WeakMap<object, string>()

  sign<T extends object>(author: string, statement: T): T {
    this.#authors.set(statement, author)
    return statement
  }

  isBy(author: string, statement: object): boolean {
    return this.#authors.get(statement) === author
  }
}
