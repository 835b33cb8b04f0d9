/** Samples of data, for a terminal that is not to be trusted with them as they are. */
import type { Inspection } from '../training/index.ts'

type SampleImage = Extract<Inspection['sample'], { kind: 'images' }>['images'][number]

const shades = ' .:-=+*#%@'
const maxWidth = 32
const gap = 2

/** Side by side as many as fit; each character is a part of a column wide and twice as high. */
export function drawImages(images: readonly SampleImage[], columns: number): string[] {
  const lines: string[] = []
  let width = 0
  for (const image of images) {
    const drawn = draw(image)
    const wide = Math.max(...drawn.map((line) => line.length))
    if (width > 0 && width + wide > columns) break
    for (const [at, line] of drawn.entries()) lines[at] = (lines[at] ?? '').padEnd(width) + line
    width += wide + gap
  }
  return lines.map((line) => line.trimEnd())
}

function draw({ label, height, width, pixels }: SampleImage): string[] {
  const step = Math.max(1, width / maxWidth)
  const lines: string[] = [printable(label).slice(0, maxWidth)]
  for (let top = 0; top < height; top += 2 * step) {
    let line = ''
    for (let left = 0; left < width; left += step) {
      let sum = 0
      let count = 0
      for (let y = Math.floor(top); y < Math.min(height, top + 2 * step); y++) {
        for (let x = Math.floor(left); x < Math.min(width, left + step); x++) {
          sum += pixels[y * width + x]!
          count++
        }
      }
      line += shades[Math.min(shades.length - 1, Math.floor((sum / count) * shades.length))]
    }
    lines.push(line)
  }
  return lines
}

/** Without control characters, which could move the cursor or worse, and without those that turn the direction of writing. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '·')
}
