// The end of each event's line: `,"streamId":"…","seq":N,"prevSeq":M}` and a line feed, written straight into a frame's body. A
// quarter of the cost of making a string of it first, for every event there is.

const seqDigitsMax = 16
const uuidTextBytes = 36
const zero = 0x30

/** The most bytes that an event's chain takes. */
export const chainBytesMax = Buffer.byteLength(',"streamId":"","seq":,"prevSeq":}\n') + uuidTextBytes + 2 * seqDigitsMax

const middle = Buffer.from(',"prevSeq":')
const end = Buffer.from('}\n')

export class ChainText {
  readonly #start: Buffer

  constructor (streamId: string) { this.#start = Buffer.from(`,"streamId":"${streamId}","seq":`) }

  /** Writes at `offset` of `body`, which has room. @returns the offset behind it */
  write (body: Buffer, offset: number, seq: number, prevSeq: number): number {
    body.set(this.#start, offset)
    let at = writeDigits(body, offset + this.#start.length, seq)
    body.set(middle, at)
    at = writeDigits(body, at + middle.length, prevSeq)
    body.set(end, at)
    return at + end.length
  }
}

/** Seqs that fit into 31 bits, which is all of them for years, are divided as integers. */
const smallMax = 2 ** 31

function writeDigits (body: Buffer, offset: number, value: number): number {
  if (value >= smallMax) return offset + body.write(String(value), offset, 'latin1')
  let digits = 1
  for (let limit = 10; value >= limit; limit *= 10) digits++
  let rest = value
  for (let at = offset + digits - 1; at >= offset; at--) {
    const quotient = (rest / 10) | 0
    body[at] = zero + rest - quotient * 10
    rest = quotient
  }
  return offset + digits
}
