// What goes into one frame of events: taken from the rings in turn, each event completed with its place in the chain.
import type { HourCount } from '../usage-log/port.ts'
import { ChainText, chainBytesMax } from './chain-text.ts'
import { frameHoursMax } from './frame.ts'
import type { PartitionRun } from './frame.ts'
import type { Ack } from './handover.ts'
import type { Ring, RingEntry } from './ring.ts'
import type { Stream } from './stream.ts'

interface Taken { position: number, tickets: number }

export class Batch {
  readonly #rings: readonly Ring[]
  readonly #ack: Ack
  readonly #taken: readonly Taken[]
  readonly #entry: RingEntry = { offset: 0, bytes: 0, partition: 0, hour: 0, isRefusal: false }
  readonly #hours: { hour: number, count: number }[] = []
  readonly #runs = new Map<number, { partition: number, count: number, prevSeq: number, lastSeq: number }>()
  /** The run of the last event: nearly always the next one's too. */
  #run: { partition: number, count: number, prevSeq: number, lastSeq: number } | undefined
  #chain: { readonly streamId: string, readonly text: ChainText } = { streamId: '', text: new ChainText('') }
  #firstRing = 0
  count = 0
  bodyBytes = 0
  refusedBytes = 0

  constructor (rings: readonly Ring[], ack: Ack) {
    this.#rings = rings
    this.#ack = ack
    this.#taken = rings.map(() => ({ position: 0, tickets: 0 }))
  }

  get hours (): HourCount[] { return this.#hours.map((entry) => ({ ...entry })) }
  get runs (): readonly PartitionRun[] { return [...this.#runs.values()] }

  /** Copies events into `body`, as many as fit. @returns how many */
  fill (body: Buffer, stream: Stream): number {
    this.#hours.length = 0
    this.#runs.clear()
    this.#run = undefined
    this.count = 0
    this.bodyBytes = 0
    this.refusedBytes = 0
    if (this.#chain.streamId !== stream.streamId) this.#chain = { streamId: stream.streamId, text: new ChainText(stream.streamId) }
    // Another ring comes first each time: one busy worker can't fill every frame.
    this.#firstRing = (this.#firstRing + 1) % this.#rings.length
    for (let turn = 0; turn < this.#rings.length; turn++) {
      const index = (this.#firstRing + turn) % this.#rings.length
      this.#drain(this.#rings[index] as Ring, this.#taken[index] as Taken, body, stream)
    }
    return this.count
  }

  #drain (ring: Ring, taken: Taken, body: Buffer, stream: Stream): void {
    const entry = this.#entry
    const written = ring.written
    let position = ring.read
    let tickets = 0
    while (position !== written) {
      const next = ring.take(position, entry)
      if (this.bodyBytes + entry.bytes + chainBytesMax > body.length) break
      if (!this.#addHour(entry.hour)) break
      const start = this.bodyBytes
      ring.data.copy(body, start, entry.offset, entry.offset + entry.bytes)
      const prevSeq = this.#addToRun(entry.partition, stream, stream.lastSeq + this.count + 1)
      this.count++
      this.bodyBytes = this.#chain.text.write(body, start + entry.bytes, stream.lastSeq + this.count, prevSeq)
      if (entry.isRefusal) this.refusedBytes += this.bodyBytes - start
      position = next
      tickets++
    }
    taken.position = position
    taken.tickets = tickets
  }

  /** False when the frame's header has no room for another hour. */
  #addHour (hour: number): boolean {
    for (const entry of this.#hours) {
      if (entry.hour !== hour) continue
      entry.count++
      return true
    }
    if (this.#hours.length === frameHoursMax) return false
    this.#hours.push({ hour, count: 1 })
    return true
  }

  /** @returns the seq before `seq` in its partition */
  #addToRun (partition: number, stream: Stream, seq: number): number {
    const run = this.#run?.partition === partition ? this.#run : this.#runs.get(partition)
    if (run === undefined) {
      const prevSeq = stream.lastSeqs[partition]
      if (prevSeq === undefined) throw new RangeError(`partition ${partition} of a stream with ${stream.partitions}`)
      this.#run = { partition, count: 1, prevSeq, lastSeq: seq }
      this.#runs.set(partition, this.#run)
      return prevSeq
    }
    this.#run = run
    const prevSeq = run.lastSeq
    run.lastSeq = seq
    run.count++
    return prevSeq
  }

  /** The batch is durable: its events leave the rings, its tickets are settled. */
  settle (): void {
    this.#taken.forEach(({ position, tickets }, index) => {
      if (tickets === 0) return
      const ring = this.#rings[index] as Ring
      ring.read = position
      if (this.#ack === 'durable') ring.settledTicket += tickets
    })
  }

  /**
   * The batch could not be written. Durable: its tickets settle as failed. Buffered: nobody waits for them, so they stay in the
   * rings for the next stream.
   */
  fail (): void {
    if (this.#ack === 'buffered') return
    this.#taken.forEach(({ position, tickets }, index) => { failTickets(this.#rings[index] as Ring, position, tickets) })
  }

  /** While nothing can be written: fails all that has been offered. */
  discard (): void {
    if (this.#ack === 'buffered') return
    for (const ring of this.#rings) {
      const written = ring.written
      let position = ring.read
      let tickets = 0
      for (; position !== written; tickets++) position = ring.take(position, this.#entry)
      failTickets(ring, position, tickets)
    }
  }
}

/** See ring.ts: one range of failed tickets a ring, its start written before its end, both before the tickets settle. */
function failTickets (ring: Ring, position: number, tickets: number): void {
  if (tickets === 0) return
  const settled = ring.settledTicket
  if (ring.failedTo !== settled) {
    if (ring.failedTo > ring.acknowledgedTicket) throw new Error('tickets fail again before their worker has seen the last failure')
    ring.failedFrom = settled + 1
  }
  ring.failedTo = settled + tickets
  ring.read = position
  ring.settledTicket = settled + tickets
}
