// What one worker holds of request bodies that are ahead of their upstreams. Pausing the client keeps each far below a
// mebibyte; but the server goes on reading, deaf to a pause, as long as each read fills its 512 KiB, and a fast sender with
// a large receive buffer of the kernel's behind it can fill many. So there is one bound for all of them together.
import type { Readable } from 'node:stream'

/** A body that is no further ahead is never refused for what others hold. */
const graceBytes = 1024 * 1024

export class BodiesAhead {
  readonly #bytesMax: number
  readonly #bodies = new Set<Readable>()

  constructor (bytesMax: number) { this.#bytesMax = bytesMax }

  /** Counted until it is closed. */
  add (body: Readable): void {
    this.#bodies.add(body)
    body.once('close', () => { this.#bodies.delete(body) })
  }

  /** @param body one that has just grown */
  isTooFar (body: Readable): boolean {
    if (body.readableLength <= graceBytes) return false
    let heldBytes = 0
    for (const { readableLength } of this.#bodies) heldBytes += readableLength
    return heldBytes > this.#bytesMax
  }
}
