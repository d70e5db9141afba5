// Puts the bodies of neighbouring frames together: a frame is one group commit and may hold four events, a reader wants
// thousands at a time, in one piece of memory.
import { lastSeqOf } from '../journal/frame.ts'
import type { FrameHeader } from '../journal/frame.ts'
import type { EventRun } from './port.ts'

/**
 * Memory for one batch after another. A new piece of some MiB a batch costs a page fault each 4 KiB and, because V8 counts it,
 * a collection of all garbage every few batches.
 */
export class RunMemory {
  /** The longest piece of those that were handed out since the last `release`. */
  #longest: Buffer | undefined
  #spare: Buffer | undefined

  /** @returns at least `bytes` bytes that are nobody else's until `release` */
  take (bytes: number): Buffer {
    const spare = this.#spare
    this.#spare = undefined
    const piece = spare !== undefined && spare.length >= bytes ? spare : Buffer.allocUnsafeSlow(bytes)
    if (piece.length > (this.#longest?.length ?? 0)) this.#longest = piece
    return piece
  }

  /** What was handed out is used up. One piece is kept for next time, or none where nothing was taken since the last call. */
  release (): void {
    this.#spare = this.#longest
    this.#longest = undefined
  }
}

export class RunBuilder {
  readonly #push: (run: EventRun) => void
  readonly #bytesMax: number
  readonly #memory: RunMemory
  #buffer: Buffer = Buffer.alloc(0)
  #used = 0
  #taken = 0
  #runStart = 0
  #run: { readonly streamId: string, readonly prevSeq: number, readonly firstSeq: number, lastSeq: number, count: number } | undefined

  constructor (push: (run: EventRun) => void, bytesMax: number, memory: RunMemory) {
    this.#push = push
    this.#bytesMax = bytesMax
    this.#memory = memory
  }

  /** At least `bytesMax` bytes of events were added. */
  get isFull (): boolean { return this.#taken >= this.#bytesMax }

  /** @param waitingBytes bytes that will probably follow: how much memory to take at once */
  add (header: FrameHeader, prevSeq: number, body: Buffer, waitingBytes: number): void {
    if (this.#run !== undefined && (this.#run.streamId !== header.streamId || this.#run.lastSeq !== header.firstSeq - 1)) this.end()
    if (this.#used + body.length > this.#buffer.length) {
      this.end()
      this.#buffer = this.#memory.take(body.length + Math.min(waitingBytes, Math.max(this.#bytesMax - this.#taken - body.length, 0)))
      this.#used = 0
      this.#runStart = 0
    }
    body.copy(this.#buffer, this.#used)
    this.#used += body.length
    this.#taken += body.length
    this.#run ??= { streamId: header.streamId, prevSeq, firstSeq: header.firstSeq, lastSeq: 0, count: 0 }
    this.#run.lastSeq = lastSeqOf(header)
    this.#run.count += header.count
  }

  /** Hands out what was put together. */
  end (): void {
    if (this.#run !== undefined) this.#push({ kind: 'events', ...this.#run, ndjson: this.#buffer.subarray(this.#runStart, this.#used), isEncoded: true })
    this.#run = undefined
    this.#runStart = this.#used
  }
}
