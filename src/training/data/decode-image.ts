import { BadImage, type Image } from './image.ts'
import { malformed } from './malformed.ts'
import { decodeNetpbm, isNetpbm } from './netpbm.ts'
import { decodePng, isPng } from './png.ts'

/** PNG, PGM or PPM, by content. @throws OwmError `malformed_data` naming the file */
export function decodeImage(bytes: Uint8Array, file: string): Image {
  try {
    return isPng(bytes) ? decodePng(bytes) : decodeNetpbm(bytes)
  } catch (error) {
    if (error instanceof BadImage) throw malformed(file, '', error.message)
    throw error
  }
}

/** Whether it begins like one. */
export function isImage(head: Uint8Array): boolean {
  return isPng(head) || isNetpbm(head)
}
