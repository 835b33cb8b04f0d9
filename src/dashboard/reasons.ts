/** Why an update was refused, for people; the code stands beside it. Those of protocols/rounds. */
const reasons: Readonly<Record<string, string>> = {
  equivocation: 'another update of the same peer came first',
  invalid_signature: 'not signed by the peer that it names',
  malformed: 'not in the form of an update',
  not_canonical: 'numbers out of range',
  not_in_roster: 'the peer does not train in this run',
  not_yours: 'pushed by another peer than its author',
  outlier: 'much longer than the others',
  over_bound: 'longer than the run allows',
  oversized: 'more bytes than an update of this run has',
  schema_mismatch: 'not in the form of an update',
  wrong_base: 'started from another checkpoint',
  wrong_cid: 'not the bytes that its notice names',
  wrong_round: 'made for another round',
  wrong_shape: 'made for a model of another size',
  wrong_size: 'not the bytes that its notice names',
}

export function reasonOf(code: string): string {
  return Object.hasOwn(reasons, code) ? (reasons[code] ?? '') : ''
}
