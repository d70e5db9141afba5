// The hand-over ring of one worker: events go from the worker to the journal's thread through shared memory, outcomes come
// back as ticket numbers. Single producer, single consumer; positions are bytes modulo 2^32 of a ring whose size is a
// power of two, so that full and empty differ.
//
// Outcomes: all tickets up to `settledTicket` are settled; those from `failedFrom` to `failedTo` failed. There is one such
// range, and the journal starts another only after the worker has acknowledged everything settled so far: no worker
// can miss a failure, however late it looks.
const lineBytes = 64
const headerLines = 16
const headerBytes = headerLines * lineBytes
const intsPerLine = lineBytes / Int32Array.BYTES_PER_ELEMENT
const bigsPerLine = lineBytes / BigInt64Array.BYTES_PER_ELEMENT

const writtenWord = 0
const readWord = intsPerLine
const wakeWord = 2 * intsPerLine
const settledBig = 3 * bigsPerLine
const failedFromBig = 4 * bigsPerLine
const failedToBig = 5 * bigsPerLine
const acknowledgedBig = 6 * bigsPerLine
const oldestBig = 7 * bigsPerLine
const askedWord = 8 * intsPerLine

/** Before each event: bytes, partition, hour, flags. Entries are aligned to its size, so it never wraps. */
const entryHeaderBytes = 16
/** In place of a length: the rest of the ring up to its end is empty. */
const skipLength = 0xffffffff
const refusalFlag = 1

export const ringBytesMax = 2 ** 30

function entryBytes (eventBytes: number): number {
  return entryHeaderBytes + Math.ceil(eventBytes / entryHeaderBytes) * entryHeaderBytes
}

/** One event as it lies in the ring. Reused from call to call: read it, don't keep it. */
export interface RingEntry {
  offset: number
  bytes: number
  partition: number
  hour: number
  isRefusal: boolean
}

/** The shared words of one ring; both sides hold one. */
export class Ring {
  readonly bytes: number
  readonly data: Buffer
  readonly #ints: Int32Array
  readonly #bigs: BigInt64Array
  readonly #entryWords: Uint32Array

  constructor (memory: SharedArrayBuffer) {
    this.bytes = memory.byteLength - headerBytes
    this.data = Buffer.from(memory, headerBytes, this.bytes)
    this.#ints = new Int32Array(memory, 0, headerBytes / 4)
    this.#bigs = new BigInt64Array(memory, 0, headerBytes / 8)
    this.#entryWords = new Uint32Array(memory, headerBytes, this.bytes / 4)
  }

  static create (ringBytes: number): SharedArrayBuffer {
    if (!Number.isInteger(Math.log2(ringBytes)) || ringBytes > ringBytesMax || ringBytes < 1024) throw new RangeError(`ring of ${ringBytes} bytes: want a power of two`)
    return new SharedArrayBuffer(headerBytes + ringBytes)
  }

  /** The longest event that always fits into an empty ring, wherever the ring stands. */
  get eventBytesMax (): number { return this.bytes / 2 - 2 * entryHeaderBytes }

  get written (): number { return Atomics.load(this.#ints, writtenWord) >>> 0 }
  get read (): number { return Atomics.load(this.#ints, readWord) >>> 0 }
  set read (position: number) { Atomics.store(this.#ints, readWord, position | 0) }
  get isEmpty (): boolean { return this.written === this.read }

  /** Producer: what was put so far should be committed now. */
  askCommit (): void { Atomics.store(this.#ints, askedWord, this.written | 0) }
  /** Consumer: whether it was asked for something that it has not taken. */
  get isCommitAsked (): boolean { return ((Atomics.load(this.#ints, askedWord) - this.read) | 0) > 0 }

  /** Producer: whether an event of `eventBytes` fits now. */
  hasRoom (eventBytes: number): boolean { return this.#place(entryBytes(eventBytes)) !== undefined }

  /** Whether the consumer should not wait for more before it empties the ring. */
  get isHalfFull (): boolean { return ((this.written - this.read) >>> 0) >= this.bytes / 2 }

  /** Producer: appends one event and shows it; false when there is no room. */
  put (event: string, eventBytes: number, { partition, hour, isRefusal }: { readonly partition: number, readonly hour: number, readonly isRefusal: boolean }): boolean {
    const needed = entryBytes(eventBytes)
    const written = this.written
    const skipped = this.#place(needed)
    if (skipped === undefined) return false
    let offset = written & (this.bytes - 1)
    if (skipped > 0) {
      this.#entryWords[offset / 4] = skipLength
      offset = 0
    }
    const word = offset / 4
    this.#entryWords[word] = eventBytes
    this.#entryWords[word + 1] = partition
    this.#entryWords[word + 2] = hour
    this.#entryWords[word + 3] = isRefusal ? refusalFlag : 0
    this.data.write(event, offset + entryHeaderBytes, eventBytes, 'utf8')
    Atomics.store(this.#ints, writtenWord, (written + skipped + needed) | 0)
    return true
  }

  /** Bytes to skip so that `needed` bytes lie in one piece; undefined when they are not free. */
  #place (needed: number): number | undefined {
    const written = this.written
    const free = this.bytes - ((written - this.read) >>> 0)
    const untilEnd = this.bytes - (written & (this.bytes - 1))
    const skipped = untilEnd < needed ? untilEnd : 0
    return free < needed + skipped ? undefined : skipped
  }

  /** Consumer: the entry at `position` into `entry`, and the position after it. Call it only while position !== written. */
  take (position: number, entry: RingEntry): number {
    let offset = position & (this.bytes - 1)
    let skipped = 0
    if (this.#entryWords[offset / 4] === skipLength) {
      skipped = this.bytes - offset
      offset = 0
    }
    const word = offset / 4
    entry.bytes = this.#entryWords[word] as number
    entry.partition = this.#entryWords[word + 1] as number
    entry.hour = this.#entryWords[word + 2] as number
    entry.isRefusal = (this.#entryWords[word + 3] as number) === refusalFlag
    entry.offset = offset + entryHeaderBytes
    return (position + skipped + entryBytes(entry.bytes)) >>> 0
  }

  get settledTicket (): number { return this.#big(settledBig) }
  set settledTicket (ticket: number) { this.#setBig(settledBig, ticket) }
  get failedFrom (): number { return this.#big(failedFromBig) }
  set failedFrom (ticket: number) { this.#setBig(failedFromBig, ticket) }
  get failedTo (): number { return this.#big(failedToBig) }
  set failedTo (ticket: number) { this.#setBig(failedToBig, ticket) }
  /** Written by the worker: everything settled up to here has been acted upon. */
  get acknowledgedTicket (): number { return this.#big(acknowledgedBig) }
  set acknowledgedTicket (ticket: number) { this.#setBig(acknowledgedBig, ticket) }
  /** Written by the worker: the start of its oldest request in flight, milliseconds; 0 for none. */
  get oldestInFlightMs (): number { return this.#big(oldestBig) }
  set oldestInFlightMs (startMs: number) { this.#setBig(oldestBig, startMs) }

  /** Worker: wants to be woken when more is settled. */
  wantWake (isWanted: boolean): void { Atomics.store(this.#ints, wakeWord, isWanted ? 1 : 0) }
  get isWakeWanted (): boolean { return Atomics.load(this.#ints, wakeWord) === 1 }
  /** Journal: true once for each wish to be woken. */
  takeWakeWish (): boolean { return this.isWakeWanted && Atomics.exchange(this.#ints, wakeWord, 0) === 1 }

  #big (index: number): number { return Number(Atomics.load(this.#bigs, index)) }
  #setBig (index: number, value: number): void { Atomics.store(this.#bigs, index, BigInt(value)) }
}
