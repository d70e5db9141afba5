// One seq for each stream and partition. 0 stands for none: the first record of a stream has seq 1.

export class SeqTable {
  readonly #streams = new Map<string, Float64Array>()

  get (streamId: string, partition: number): number { return this.#streams.get(streamId)?.[partition] ?? 0 }

  set (streamId: string, partition: number, seq: number): void {
    let seqs = this.#streams.get(streamId)
    if (seqs === undefined || partition >= seqs.length) {
      const larger = new Float64Array(Math.max(partition + 1, 2 * (seqs?.length ?? 0)))
      if (seqs !== undefined) larger.set(seqs)
      seqs = larger
      this.#streams.set(streamId, seqs)
    }
    seqs[partition] = seq
  }

  get streamIds (): Iterable<string> { return this.#streams.keys() }

  /** Partition and seq of all that are known of a stream. */
  of (streamId: string): (readonly [partition: number, seq: number])[] {
    const pairs: (readonly [number, number])[] = []
    this.#streams.get(streamId)?.forEach((seq, partition) => { if (seq > 0) pairs.push([partition, seq]) })
    return pairs
  }

  /** Forgets the streams that are not kept. */
  keepOnly (isKept: (streamId: string) => boolean): void {
    for (const streamId of this.#streams.keys()) if (!isKept(streamId)) this.#streams.delete(streamId)
  }
}
