// A request's body on its way in. A short one is collected, so that the upstream gets it in one piece; a longer one is
// streamed, and the client is paused while the upstream is slow.
import { Readable } from 'node:stream'
import type { HttpResponse } from 'uWebSockets.js'
import type { BodiesAhead } from './bodies-ahead.ts'
import { collectedBytesMax } from './options.ts'

export interface UploadEnds {
  /** All that came, or the stream of what is still coming. Called once. */
  readonly onBody: (body: Buffer | Readable) => void
  /** More than the route allows, or, with a time to try again after, than can be held while the upstream is slow. Called once, instead of or after onBody. */
  readonly onTooLarge: (message: string, retryAfterS?: number) => void
  /** Something came, or the upstream took something. */
  readonly onProgress: () => void
  /** Thrown where nobody else could catch it. */
  readonly onError: (error: unknown) => void
}

/** What undici may keep of a body that it can't send yet. */
const bufferedBytes = 64 * 1024
/** Until a worker that holds too much holds less. */
const retrySoonS = 1

export interface UploadOptions {
  readonly bytesMax: number
  /** The Content-Length; -1 for a chunked body. */
  readonly announcedBytes: number
  readonly bodiesAhead: BodiesAhead
}

export class Upload {
  receivedBytes = 0
  isComplete = false
  /** The client is not read from. A client that leaves meanwhile is not noticed, so this must not last. */
  isPaused = false
  readonly #response: HttpResponse
  readonly #bytesMax: number
  readonly #announcedBytes: number
  readonly #bodiesAhead: BodiesAhead
  readonly #ends: UploadEnds
  #collected: Buffer[] = []
  #stream: Readable | undefined
  #isOver = false
  #stretchedBytes = 0

  constructor (response: HttpResponse, { bytesMax, announcedBytes, bodiesAhead }: UploadOptions, ends: UploadEnds) {
    this.#response = response
    this.#bytesMax = bytesMax
    this.#announcedBytes = announcedBytes
    this.#bodiesAhead = bodiesAhead
    this.#ends = ends
    response.onData((chunk, isLast) => {
      try { this.#take(chunk, isLast) } catch (error) { ends.onError(error) }
    })
  }

  /**
   * Bytes that have come of a body that the client is waited for; -1 while it isn't. Pause and resume give the client a
   * time of its own: the server's would close the connection of an honest one that sends less than 16 KB a second.
   */
  stretch (): number {
    if (this.isComplete || this.isPaused || this.#isOver) return -1
    if (this.receivedBytes > this.#stretchedBytes) {
      this.#stretchedBytes = this.receivedBytes
      this.#response.pause()
      this.#response.resume()
    }
    return this.receivedBytes
  }

  /** Nobody wants the rest: it is read and dropped. The response must still be valid. */
  drop (): void {
    this.end()
    if (this.isPaused) this.#response.resume()
    this.isPaused = false
  }

  /** The request is over, and its response perhaps invalid. */
  end (): void {
    this.#isOver = true
    this.#collected = []
    this.#stream?.destroy()
    this.#stream = undefined
  }

  #take (chunk: ArrayBuffer, isLast: boolean): void {
    if (isLast) this.isComplete = true
    if (this.#isOver) return
    this.receivedBytes += chunk.byteLength
    if (this.receivedBytes > this.#bytesMax) { this.#refuse('request body too large'); return }
    this.#ends.onProgress()
    // The memory is the server's own and gone when this returns.
    const copy = Buffer.copyBytesFrom(new Uint8Array(chunk))
    if (this.#stream !== undefined) this.#pass(copy, isLast)
    else this.#collect(copy, isLast)
  }

  #collect (copy: Buffer, isLast: boolean): void {
    this.#collected.push(copy)
    if (isLast) {
      const [first] = this.#collected
      this.#ends.onBody(first !== undefined && this.#collected.length === 1 ? first : Buffer.concat(this.#collected))
      this.#collected = []
      return
    }
    if (Math.max(this.#announcedBytes, this.receivedBytes) <= collectedBytesMax) return
    const stream = new Readable({ read: () => { this.#onWanted() }, highWaterMark: bufferedBytes })
    // What goes wrong with the upstream is reported by its client; a destroyed stream has nothing to add.
    stream.on('error', () => {})
    this.#stream = stream
    this.#bodiesAhead.add(stream)
    for (const chunk of this.#collected) stream.push(chunk)
    this.#collected = []
    this.#ends.onBody(stream)
  }

  #pass (copy: Buffer, isLast: boolean): void {
    const stream = this.#stream
    // Destroyed by the HTTP client when the upstream has answered early or failed: the exchange hears of it in a moment.
    if (stream === undefined || stream.destroyed) return
    const isRoom = stream.push(copy)
    if (this.#bodiesAhead.isTooFar(stream)) this.#refuse('request body too large to be held while the upstream is slow', retrySoonS)
    else if (isLast) stream.push(null)
    else if (!isRoom && !this.isPaused) {
      this.isPaused = true
      this.#response.pause()
    }
  }

  #refuse (message: string, retryAfterS?: number): void {
    this.#isOver = true
    this.#ends.onTooLarge(message, retryAfterS)
  }

  #onWanted (): void {
    this.#ends.onProgress()
    if (!this.isPaused || this.#isOver) return
    this.isPaused = false
    this.#response.resume()
  }
}
