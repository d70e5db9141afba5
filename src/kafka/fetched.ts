// What one fetch has brought, handed out in parts: it came compressed, and unpacked it may be many times what was asked
// for. Hidden from readers are control records (the ends of transactions), records of aborted transactions, and what lies
// before the offset asked for, because a broker sends whole batches.
import { batchAt, readBatch } from './decode-batch.ts'
import type { Unpacked } from './decode-batch.ts'

export interface AbortedTransaction { readonly producerId: bigint, readonly firstOffset: number }

export class Fetched {
  readonly #buffer: Buffer
  /** By first offset; only what lies ahead. */
  readonly #aborted: AbortedTransaction[]
  /** Producers whose open transaction, at this place of the log, ends with an abort. */
  readonly #abortedProducers = new Set<bigint>()
  #position = 0
  #nextOffset: number

  constructor (buffer: Buffer, { offset, aborted }: { readonly offset: number, readonly aborted: readonly AbortedTransaction[] }) {
    this.#buffer = buffer
    this.#nextOffset = offset
    this.#aborted = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset)
  }

  /** Behind everything that was handed out, and behind hidden batches after it. */
  get nextOffset (): number { return this.#nextOffset }
  get isDone (): boolean { return batchAt(this.#buffer, this.#position) === undefined }

  /** At least one batch, and no more of them when `bytesMax` of memory are taken. */
  take (bytesMax: number): Unpacked {
    const into: Unpacked = { records: [], memory: [] }
    let bytes = 0
    while (bytes < bytesMax) {
      const batch = batchAt(this.#buffer, this.#position)
      if (batch === undefined) break
      while (this.#aborted[0] !== undefined && this.#aborted[0].firstOffset <= batch.lastOffset) this.#abortedProducers.add((this.#aborted.shift() as AbortedTransaction).producerId)
      if (batch.isControl) this.#abortedProducers.delete(batch.producerId)
      else if (batch.lastOffset >= this.#nextOffset && !(batch.isTransactional && this.#abortedProducers.has(batch.producerId))) {
        bytes += readBatch(this.#buffer, this.#position, { batch, fromOffset: this.#nextOffset, into })
      }
      this.#position += batch.bytes
      this.#nextOffset = Math.max(this.#nextOffset, batch.lastOffset + 1)
    }
    return into
  }
}
