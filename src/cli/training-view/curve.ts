/** More points than a terminal has dots say nothing. */
const mostPoints = 1024

/** The points of a curve of any length, in bounded memory: neighbours are averaged as they grow many. */
export interface Curve {
  add(x: number, y: number): void
  /** By rising x; each is the mean of about as many. */
  points(): readonly (readonly [x: number, y: number])[]
}

export function createCurve(): Curve {
  let points: (readonly [number, number])[] = []
  /** How many make a point; those of the next one, in sum. */
  let each = 1
  let [sumX, sumY, count] = [0, 0, 0]
  return {
    add: (x, y) => {
      ;[sumX, sumY, count] = [sumX + x, sumY + y, count + 1]
      if (count < each) return
      points.push([sumX / count, sumY / count])
      ;[sumX, sumY, count] = [0, 0, 0]
      if (points.length < mostPoints) return
      each *= 2
      points = Array.from({ length: mostPoints / 2 }, (_, i) => mean(points[2 * i]!, points[2 * i + 1]!))
    },
    points: () => (count === 0 ? points : [...points, [sumX / count, sumY / count]]),
  }
}

function mean(a: readonly [number, number], b: readonly [number, number]): readonly [number, number] {
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]
}
