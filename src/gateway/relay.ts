// An answer's body on its way to the client as it comes, never more than a few pieces in memory: the upstream is paused
// while the client is slow. The last byte is held until `release`; with a Content-Length that is the chunk that completes
// the body, without one it is what came in the last turn of the loop and the chunk that ends the encoding. What may go at
// once goes from where it was read; only what has to wait is copied.
import type { HttpResponse } from 'uWebSockets.js'
import type { Batch, Deferred } from './batch.ts'
import type { Rest } from './last-answers.ts'

// The server's cork holds 16 KiB: when more is written into it, and the socket doesn't take what was in it, the rest is dropped.
/** Chunked bodies are written in pieces of this size, each in a cork of its own, where it fits with what frames it. */
const pieceBytes = 15 * 1024
/** What a blocked client is tried with where the server would buffer it. */
const nudgeBytes = 1024

const noBytes = Buffer.alloc(0)
/** What may come in one turn of the loop before it is written in the middle of that turn. */
const queuedBytesMax = 64 * 1024

export interface RelayEnds {
  readonly pauseUpstream: () => void
  readonly resumeUpstream: () => void
  /** The last byte is with the server. */
  readonly onDone: () => void
  /** Thrown where nobody else could catch it. */
  readonly onError: (error: unknown) => void
}

/** Gives the rest of an answer that ends its connection; see last-answers.ts. @param give false: the server hasn't taken all */
export type GiveLast = (give: () => boolean, rest: () => Rest) => void

export interface RelayOptions {
  readonly batch: Batch
  /** -1: unknown, the body goes chunked. */
  readonly totalBytes: number
  readonly ends: RelayEnds
  readonly giveLast: GiveLast | undefined
}

export class Relay implements Deferred {
  /** Bytes of the body that the server has taken. */
  sentBytes = 0
  receivedBytes = 0
  /** Of `sentBytes` what is known to be with the kernel. */
  takenBytes = 0
  /** The client does not take what it is sent. */
  isBlocked = false
  readonly #response: HttpResponse
  readonly #batch: Batch
  readonly #totalBytes: number
  readonly #ends: RelayEnds
  readonly #giveLast: GiveLast | undefined
  readonly #writeHead: () => void
  #queue: Buffer[] = []
  #isScheduled = false
  #isHeadWritten = false
  #isComplete = false
  #isReleased = false
  #isOver = false
  #hasWritable = false
  #hasBlocked = false
  /** There is room, and nothing was done about it yet. */
  #isRoom = false
  /** Held back to be written by itself. */
  #lastByte: Buffer | undefined
  #firstPieceBytes = pieceBytes

  /** @param writeHead called corked, before the first byte of the body */
  constructor (response: HttpResponse, { batch, totalBytes, ends, giveLast }: RelayOptions, writeHead: () => void) {
    this.#response = response
    this.#batch = batch
    this.#totalBytes = totalBytes
    this.#ends = ends
    this.#giveLast = giveLast
    this.#writeHead = writeHead
  }

  get isHeadWritten (): boolean { return this.#isHeadWritten }

  /** @param chunk valid during the call */
  push (chunk: Buffer): void {
    // The upstream's client says nothing at times, and the server takes an empty piece for the body's end.
    if (chunk.length === 0) return
    if (this.#queuedBytes >= queuedBytesMax && !this.isBlocked) this.#flush()
    this.receivedBytes += chunk.length
    if (this.#totalBytes >= 0 && !this.isBlocked) {
      // With a length, whatever the client takes goes at once, but for the end.
      this.#queue.push(chunk)
      this.#flush()
      if (this.#queue[0] !== undefined) this.#queue[0] = Buffer.copyBytesFrom(this.#queue[0])
      return
    }
    this.#queue.push(Buffer.copyBytesFrom(chunk))
    // The upstream's client stops soon, not at once: what comes meanwhile waits here.
    if (this.isBlocked) this.#ends.pauseUpstream()
    else this.#schedule()
  }

  /** The upstream's answer is complete; nothing more is written until `release`. */
  complete (): void { this.#isComplete = true }

  /** The body in one piece when all of it is here and none of it has been written yet; the relay is over then. */
  takeWhole (): Buffer | undefined {
    if (!this.#isComplete || this.#isHeadWritten) return undefined
    const body = this.#queue.length === 1 ? this.#queue[0] as Buffer : Buffer.concat(this.#queue)
    this.stop()
    return body
  }

  /** The held rest may go. */
  release (): void {
    this.#isReleased = true
    if (!this.isBlocked) this.#flush()
  }

  /** The client is gone, or the answer is cut: nothing is written any more. */
  stop (): void {
    this.#isOver = true
    this.#queue = []
  }

  // The server hears of room only when a third of the kernel's buffer is free, and closes the connection when that takes 10 s:
  // too early for an honest client that is slow.
  /** Tries to write to a client that is blocked. */
  nudge (): void {
    if (!this.isBlocked || this.#isOver) return
    if (this.#queue.length === 0 && this.#lastByte === undefined) { this.#ends.resumeUpstream(); return }
    this.#firstPieceBytes = nudgeBytes
    this.#goOn()
    this.#firstPieceBytes = pieceBytes
  }

  turn (): void {
    this.#isScheduled = false
    if (this.#isRoom) this.#useRoom()
    else if (!this.isBlocked) this.#flush()
  }

  get #queuedBytes (): number { return this.receivedBytes - this.sentBytes }

  #schedule (): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#batch.add(this)
  }

  #flush (): void {
    if (this.#isOver || (this.#isHeld && !this.#isReleased)) return
    if (!this.#hasWritable) {
      this.#hasWritable = true
      this.#response.onWritable(() => {
        try { this.#onWritable() } catch (error) { this.#ends.onError(error) }
        return true
      })
    }
    if (this.#giveLast === undefined || !this.#isReleased) this.#writeNow()
    else this.#flushLast(this.#giveLast)
  }

  /** The last byte goes by itself: it shows whether the kernel has taken what came before, but not its own fate. */
  #flushLast (giveLast: GiveLast): void {
    this.#lastByte ??= this.#takeLastByte()
    if (this.#queue.length > 0) this.#writeNow()
    if (this.isBlocked) return
    giveLast(() => {
      this.#response.cork(() => { this.#writeLast() })
      return this.#isOver
    }, () => this.#hasBlocked ? 'likely' : 'unlikely')
  }

  #takeLastByte (): Buffer {
    const chunk = this.#queue.pop() ?? noBytes
    if (chunk.length > 1) this.#queue.push(chunk.subarray(0, -1))
    return chunk.subarray(-1)
  }

  /** What is queued contains the body's end. */
  get #isHeld (): boolean {
    return this.#isComplete || (this.#totalBytes >= 0 && this.receivedBytes >= this.#totalBytes)
  }

  #onWritable (): void {
    if (this.#isOver) return
    this.#isRoom = true
    // The server would read on right after its handler.
    if (this.#giveLast === undefined) this.#useRoom()
    else this.#schedule()
  }

  #useRoom (): void {
    this.#isRoom = false
    if (this.#isOver) return
    // An empty cork makes the server write what it has buffered; a chunked body's own pieces come after that.
    if (this.#totalBytes < 0) this.#response.cork(() => {})
    this.#goOn()
  }

  #goOn (): void {
    this.isBlocked = false
    this.#flush()
    if (!this.isBlocked && !this.#isOver) this.#ends.resumeUpstream()
  }

  #writeNow (): void {
    if (this.#totalBytes >= 0) {
      this.#response.cork(() => { this.#writeCounted() })
      this.takenBytes = this.sentBytes
    } else this.#writeChunks()
    this.#heedBlocked()
  }

  #heedBlocked (): void {
    if (!this.isBlocked || this.#isOver) return
    this.#hasBlocked = true
    this.#ends.pauseUpstream()
  }

  #beginHead (): void {
    if (this.#isHeadWritten) return
    this.#isHeadWritten = true
    this.#writeHead()
  }

  #writeCounted (): void {
    this.#beginHead()
    for (;;) {
      const chunk = this.#queue[0]
      if (chunk === undefined) return
      const [isTaken, isDone] = this.#response.tryEnd(chunk, this.#totalBytes)
      if (isTaken) {
        this.sentBytes += chunk.length
        this.#queue.shift()
      }
      if (isDone) {
        if (this.sentBytes !== this.#totalBytes) throw new Error(`an answer of ${this.#totalBytes} bytes ended after ${this.sentBytes}`)
        this.#done()
        return
      }
      if (isTaken) continue
      const takenBytes = this.#response.getWriteOffset() - this.sentBytes
      this.sentBytes += takenBytes
      if (takenBytes >= chunk.length) this.#queue.shift()
      else this.#queue[0] = chunk.subarray(takenBytes)
      this.isBlocked = true
      return
    }
  }

  #writeChunks (): void {
    if (!this.#isHeadWritten) this.#response.cork(() => { this.#beginHead() })
    let bytesMax = this.#firstPieceBytes
    do {
      this.#response.cork(() => { this.#writeChunk(bytesMax) })
      bytesMax = pieceBytes
    } while (this.#queue.length > 0 && !this.isBlocked)
  }

  /** The server says of a piece whether the kernel has what came before it; what it holds of the piece itself shows with the next one. */
  #writeChunk (bytesMax: number): void {
    const chunk = this.#queue[0]
    if (chunk !== undefined) {
      const piece = chunk.subarray(0, bytesMax)
      if (piece.length < chunk.length) this.#queue[0] = chunk.subarray(bytesMax)
      else this.#queue.shift()
      if (this.#response.write(piece)) this.takenBytes = this.sentBytes
      else this.isBlocked = true
      this.sentBytes += piece.length
    }
    if (this.#isReleased && this.#giveLast === undefined && this.#queue.length === 0) this.#endChunks()
  }

  #writeLast (): void {
    const last = this.#lastByte ?? noBytes
    if (this.#totalBytes >= 0) {
      const [isTaken] = this.#response.tryEnd(last, this.#totalBytes)
      if (isTaken) this.sentBytes += last.length
      else this.isBlocked = true
    } else if (last.length > 0) {
      // The server keeps what it can't write.
      this.#lastByte = noBytes
      this.sentBytes += last.length
      this.isBlocked = !this.#response.write(last)
    }
    if (this.isBlocked) this.#heedBlocked()
    else if (this.#totalBytes >= 0) this.#done()
    else this.#endChunks()
  }

  #endChunks (): void {
    // Never with the order to close: the server would write that header now, into the body.
    this.#response.end()
    this.#done()
  }

  #done (): void {
    this.#isOver = true
    this.isBlocked = false
    this.#ends.onDone()
  }
}
