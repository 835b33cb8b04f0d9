/** Rows from the top, in each row pixels from the left, in each pixel its channels: one of grey, or red, green, blue. */
export interface Image {
  readonly channels: 1 | 3
  readonly height: number
  readonly width: number
  readonly pixels: Uint8Array
}

/** Larger ones are no training examples. */
export const maxPixels = 1 << 24

/** What is wrong with an image; `decodeImage` adds which. */
export class BadImage extends Error {
  override readonly name = 'BadImage'
}

export function checkSize(width: number, height: number): void {
  if (!(width > 0 && height > 0 && width * height <= maxPixels)) {
    throw new BadImage(`an image of ${width}x${height}, where there may be 1 to ${maxPixels} pixels.`)
  }
}
