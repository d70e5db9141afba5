// Text of unknown origin as a JSON string of bounded size.

/** What needs no escape and is one byte a character. */
const plainText = /^[ !#-[\]-~]*$/

/**
 * `text` as a JSON string with its quotes, cut so that what stands between them is at most `bytesMax` bytes of UTF-8.
 * Lone surrogates and NUL become U+FFFD: not every reader of JSON takes them.
 */
export function boundedJsonText (text: string, bytesMax: number): string {
  if (text.length <= bytesMax && plainText.test(text)) return '"' + text + '"'
  return '"' + escapeUpTo(text, bytesMax) + '"'
}

function escapeUpTo (text: string, bytesMax: number): string {
  let escaped = ''
  let bytes = 0
  for (const character of text) {
    const piece = escapeOne(character)
    bytes += utf8Bytes(piece)
    if (bytes > bytesMax) break
    escaped += piece
  }
  return escaped
}

function escapeOne (character: string): string {
  const code = character.codePointAt(0) as number
  if (code === 0 || (code >= 0xd800 && code <= 0xdfff)) return '\ufffd'
  if (code < 0x20 || code === 0x22 || code === 0x5c) return JSON.stringify(character).slice(1, -1)
  return character
}

/** @param piece one well-formed character, or an escape in ASCII */
function utf8Bytes (piece: string): number {
  const code = piece.codePointAt(0) as number
  if (code < 0x80) return piece.length
  if (code < 0x800) return 2
  return code < 0x10000 ? 3 : 4
}
