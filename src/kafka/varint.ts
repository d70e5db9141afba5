// Kafka's integers of variable length inside a record: zigzag, seven bits a byte, the lowest first.

/** Of a value that fits 32 bits with its sign. */
export function varintBytes (value: number): number {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0
  return zigzag < 0x80 ? 1 : zigzag < 0x4000 ? 2 : zigzag < 0x200000 ? 3 : zigzag < 0x10000000 ? 4 : 5
}

/** @returns the position behind it */
export function writeVarint (buffer: Buffer, position: number, value: number): number {
  let zigzag = ((value << 1) ^ (value >> 31)) >>> 0
  while (zigzag >= 0x80) {
    buffer[position++] = (zigzag & 0x7f) | 0x80
    zigzag >>>= 7
  }
  buffer[position++] = zigzag
  return position
}

/** Reads one after another, and remembers where it is: two answers without an object for each. */
export class VarintCursor {
  readonly buffer: Buffer
  position: number
  constructor (buffer: Buffer, position: number) {
    this.buffer = buffer
    this.position = position
  }

  /** Up to 53 bits. @throws RangeError when the buffer ends before the number does */
  next (): number {
    let byte = this.byte()
    if (byte < 0x80) return (byte & 1) === 0 ? byte >> 1 : -(byte >> 1) - 1
    let zigzag = byte & 0x7f
    let scale = 0x80
    do {
      byte = this.byte()
      zigzag += (byte & 0x7f) * scale
      scale *= 0x80
      if (scale > 2 ** 70) throw new RangeError('an integer of more than ten bytes')
    } while (byte >= 0x80)
    return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2
  }

  private byte (): number {
    const byte = this.buffer[this.position++]
    if (byte === undefined) throw new RangeError('a record ends in the middle')
    return byte
  }
}
