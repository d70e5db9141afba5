// The memory that the gateway's workers, the journal's thread and its reader share. One word has one writer (but for the
// bell), each on a cache line of its own, all through Atomics: nothing per request crosses threads in any other way.

/** `full` and `failing` mean: refuse before the upstream is called, usage could not be recorded. */
export type Admission = 'starting' | 'open' | 'full' | 'failing'
export const admissions: readonly Admission[] = ['starting', 'open', 'full', 'failing']

const lineBytes = 64
const intsPerLine = lineBytes / Int32Array.BYTES_PER_ELEMENT
const bigsPerLine = lineBytes / BigInt64Array.BYTES_PER_ELEMENT
const stateLines = 16

/** A place in the journal. Only for speed and only within one run of the program: never an identity. */
export interface LogPosition { readonly segment: number, readonly offset: number }

/** The smallest block. */
const positionUnitBytes = 512
export const segmentBytesMax = 2 ** 30
const positionsPerSegment = segmentBytesMax / positionUnitBytes

/** Structured-cloneable: goes to the journal's thread and, as parts, to workers and reader. */
export interface JournalMemory {
  readonly state: SharedArrayBuffer
  /** One a worker: hand-over words and the ring of events. */
  readonly rings: readonly SharedArrayBuffer[]
  /** One a worker: answered counts, which share nothing with the rings. */
  readonly answered: readonly SharedArrayBuffer[]
}

/** What a commit leaves for others to see, and what they leave for the journal. */
export class JournalState {
  readonly #ints: Int32Array
  readonly #bigs: BigInt64Array

  constructor (memory: SharedArrayBuffer) {
    this.#ints = new Int32Array(memory)
    this.#bigs = new BigInt64Array(memory)
  }

  static create (): SharedArrayBuffer { return new SharedArrayBuffer(stateLines * lineBytes) }

  get admission (): Admission { return admissions[Atomics.load(this.#ints, 0)] ?? 'failing' }
  set admission (admission: Admission) { Atomics.store(this.#ints, 0, admissions.indexOf(admission)) }

  /** Refusals may be recorded; else the gateway only counts them. */
  get isRefusalRoom (): boolean { return Atomics.load(this.#ints, intsPerLine) === 1 }
  set isRefusalRoom (isRoom: boolean) { Atomics.store(this.#ints, intsPerLine, isRoom ? 1 : 0) }

  /** Rises with each turn of the journal's loop: a thread that is stuck in a write does not move it. */
  get turns (): number { return Atomics.load(this.#ints, 2 * intsPerLine) }
  addTurn (): void { Atomics.add(this.#ints, 2 * intsPerLine, 1) }

  /**
   * Sleeps until somebody rings or `timeoutMs` has passed. `hasWork` is asked after the bell is armed, so that work offered
   * meanwhile is either seen by it or rings.
   */
  sleep (timeoutMs: number, hasWork: () => boolean): void {
    const bell = 3 * intsPerLine
    Atomics.store(this.#ints, bell, 1)
    if (!hasWork()) Atomics.wait(this.#ints, bell, 1, timeoutMs)
    Atomics.store(this.#ints, bell, 0)
  }

  /** Wakes the journal's thread if it sleeps: a system call only then. */
  ring (): void {
    const bell = 3 * intsPerLine
    if (Atomics.load(this.#ints, bell) === 1 && Atomics.compareExchange(this.#ints, bell, 1, 0) === 1) Atomics.notify(this.#ints, bell)
  }

  /** The end of what is durable: one number, so that it is read whole. */
  get durableEnd (): LogPosition {
    const position = this.#big(4)
    return { segment: Math.floor(position / positionsPerSegment), offset: position % positionsPerSegment * positionUnitBytes }
  }

  set durableEnd ({ segment, offset }: LogPosition) { this.#setBig(4, segment * positionsPerSegment + offset / positionUnitBytes) }

  /** The oldest segment that is kept; raised before a segment is recycled. */
  get oldestSegment (): number { return this.#big(5) }
  set oldestSegment (segment: number) { this.#setBig(5, segment) }

  /** Written by the reader: all segments below are counted and archived. */
  get trimBelow (): number { return this.#big(6) }
  set trimBelow (segment: number) { this.#setBig(6, segment) }

  /** The watermark about to be written, milliseconds; never falls. See watermark.ts. */
  get proposedMarkMs (): number { return this.#big(7) }
  set proposedMarkMs (markMs: number) { this.#setBig(7, markMs) }

  /** The last watermark that is durable, milliseconds; 0 before the first. */
  get durableMarkMs (): number { return this.#big(8) }
  set durableMarkMs (markMs: number) { this.#setBig(8, markMs) }

  #big (line: number): number { return Number(Atomics.load(this.#bigs, line * bigsPerLine)) }
  #setBig (line: number, value: number): void { Atomics.store(this.#bigs, line * bigsPerLine, BigInt(value)) }
}
