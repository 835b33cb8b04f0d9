/**
 * GPT-2's alphabet (Radford et al. 2019): a printable character for each byte, so that tokens of any bytes can be
 * written in JSON. Bytes that print stand for themselves; the others take the characters from U+0100 on, in order.
 * The first 256 tokens are the bytes in the order of their characters, as in GPT-2's own vocabulary.
 */
const prints = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae

const hidden = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !prints(byte))

export const characterOfByte: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  String.fromCharCode(prints(byte) ? byte : 0x100 + hidden.indexOf(byte)),
)

/** The byte of each of the first 256 tokens. */
export const byteOfToken: readonly number[] = Array.from({ length: 256 }, (_, byte) => byte).sort(
  (a, b) => characterOfByte[a]!.charCodeAt(0) - characterOfByte[b]!.charCodeAt(0),
)

export const tokenOfByte: Uint16Array = new Uint16Array(256)
for (const [token, byte] of byteOfToken.entries()) tokenOfByte[byte] = token

const byteOfCharacter = new Map(characterOfByte.map((character, byte) => [character, byte]))

export function textOfBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => characterOfByte[byte]).join('')
}

/** Undefined where a character stands for no byte. */
export function bytesOfText(text: string): Uint8Array | undefined {
  const bytes = Array.from(text, (character) => byteOfCharacter.get(character))
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : undefined
}
