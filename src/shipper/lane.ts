// One partition's way to Kafka: records in the journal's order, in parcels of one send each, one send in flight. A lane takes
// only what follows on what it has: a record whose predecessor it does not know makes it wait for a cursor that comes from
// further back. It never skips.
//
// What an acknowledgement is worth: Kafka may forget what it has acknowledged. So `sent` says no more than that nothing needs to
// be done for now; what counts is what the aggregators have counted.
import type { RecordOut } from '../kafka/port.ts'
import { eventRecord, voidRecord } from '../usage-log/kafka-event-record.ts'
import type { EventLine } from './event-lines.ts'
import type { Progress } from './progress.ts'
import type { LostRun } from './survey.ts'

export interface LaneOptions {
  readonly parcelRecordsMax: number
  readonly parcelBytesMax: number
  /** So long a cursor waits for a lane that takes nothing before it goes on without it. */
  readonly patienceMs: number
}

/** The records of one send. */
export interface Parcel {
  readonly records: RecordOut[]
  bytes: number
  /** By stream. */
  readonly lastSeqs: Map<string, number>
  /** Belongs to what was taken since the lane last began anew. */
  readonly turn: number
}

/** How a lane stands to a cursor that has a record for it: it goes on without those that are left. */
export type Standing = 'takes' | 'awaited' | 'left'

/** Parcels of a lane, the one in flight included. */
export const parcelsMax = 3
const chunkBytes = 64 * 1024
/** Headers and the client's own objects, roughly: a parcel of tiny records is not small. */
const recordOverheadBytes = 200

export class Lane {
  readonly partition: number
  /** Its producer is open and what is counted is known. */
  isUp = false
  /** A cursor has gone on without it. */
  isBehind = false
  /** Rises with each new beginning. */
  turn = 0
  /** Records and bytes acknowledged, ever. */
  sentRecords = 0
  sentBytes = 0
  readonly #options: LaneOptions
  readonly #progress: Progress
  readonly #taken = new Map<string, number>()
  readonly #sent = new Map<string, number>()
  #parcels: Parcel[] = []
  #inFlight: Parcel | undefined
  #chunk = Buffer.alloc(0)
  #chunkUsed = 0
  #movedMs: number
  /** Set while only the first parcel is sent again: what the lane goes on with afterwards. */
  #probe: { readonly taken: ReadonlyMap<string, number>, readonly sent: ReadonlyMap<string, number> } | undefined

  constructor (partition: number, options: LaneOptions, progress: Progress, nowMs: number) {
    this.partition = partition
    this.#options = options
    this.#progress = progress
    this.#movedMs = nowMs
  }

  get isEmpty (): boolean { return this.#parcels.length === 0 && this.#inFlight === undefined }
  get isProbing (): boolean { return this.#probe !== undefined }
  /** Streams of which anything was sent since it last began anew. */
  get streamIds (): Iterable<string> { return this.#sent.keys() }

  /** The last seq that is in the lane, sent, or not wanted. */
  known (streamId: string): number { return Math.max(this.#taken.get(streamId) ?? 0, this.#progress.wantedAfter(streamId, this.partition)) }

  /** The last seq that was acknowledged, or counted. */
  acknowledged (streamId: string): number { return Math.max(this.#sent.get(streamId) ?? 0, this.#progress.applied(streamId, this.partition)) }

  hasRoom (): boolean {
    const last = this.#parcels.at(-1)
    if (this.#probe !== undefined) return this.#inFlight === undefined && (last === undefined || !this.#isFull(last))
    return this.#parcels.length + (this.#inFlight === undefined ? 0 : 1) < parcelsMax || (last !== undefined && !this.#isFull(last))
  }

  standing (nowMs: number): Standing {
    if (this.isUp && this.hasRoom()) return 'takes'
    return nowMs - this.#movedMs < this.#options.patienceMs ? 'awaited' : 'left'
  }

  /** Its producer is open. */
  up (nowMs: number): void {
    this.isUp = true
    this.#movedMs = nowMs
  }

  /** Takes one event. @param body the line is copied from it */
  add (line: EventLine, streamId: string, body: Buffer): void {
    this.#push(streamId, line.seq, eventRecord(line, streamId, this.#copy(body, line.start, line.end)), line.end - line.start)
  }

  /** Takes the place of what was lost. @param prevSeq the seq that it follows */
  addLost ({ streamId, gatewayId, seq, reason, hours, isHoursUncertain }: LostRun, prevSeq: number): void {
    const record = voidRecord({ gatewayId, streamId, seq, prevSeq, reason, hours: hours.map(({ hour, count }) => [hour, count] as const), isHoursUncertain })
    this.#push(streamId, seq, record, Buffer.byteLength(record.value as string))
  }

  /** The next send, which is in flight from now on; undefined when there is nothing to send. */
  next (): Parcel | undefined {
    if (this.#inFlight !== undefined) throw new Error(`partition ${this.partition}: a send is in flight`)
    this.#inFlight = this.#parcels.shift()
    return this.#inFlight
  }

  /** @returns false when the parcel belonged to an earlier turn: then it changes nothing */
  sent (parcel: Parcel, nowMs: number): boolean {
    this.#inFlight = undefined
    this.#movedMs = nowMs
    this.sentRecords += parcel.records.length
    this.sentBytes += parcel.bytes
    if (parcel.turn !== this.turn) return false
    for (const [streamId, seq] of parcel.lastSeqs) this.#sent.set(streamId, Math.max(seq, this.#sent.get(streamId) ?? 0))
    if (this.#probe !== undefined) this.#endProbe()
    return true
  }

  /** The outcome of the send in flight is unknown, and the producer is gone. */
  failed (nowMs: number): void {
    this.#inFlight = undefined
    this.isUp = false
    this.#movedMs = nowMs
    this.restart()
  }

  /** Begins anew after what is counted: nothing that was sent since is relied on. */
  restart (): void {
    this.turn++
    this.#parcels = []
    this.#probe = undefined
    this.#taken.clear()
    this.#sent.clear()
    this.isBehind = true
  }

  /** Sends what follows on what is counted once more, one parcel of it, then goes on where it was. */
  probe (): void {
    const before = { taken: new Map(this.#taken), sent: new Map(this.#sent) }
    // What waits was not sent: it is read again afterwards.
    for (const [streamId] of before.taken) before.taken.set(streamId, Math.max(before.sent.get(streamId) ?? 0, this.#inFlight?.lastSeqs.get(streamId) ?? 0))
    this.restart()
    this.#probe = before
  }

  /** A cursor that came for it has reached the journal's end. */
  caughtUp (): void {
    this.isBehind = false
    if (this.#probe !== undefined && this.isEmpty) this.#endProbe()
  }

  forget (isKept: (streamId: string) => boolean): void {
    for (const streamId of this.#taken.keys()) if (!isKept(streamId)) this.#taken.delete(streamId)
    for (const streamId of this.#sent.keys()) if (!isKept(streamId)) this.#sent.delete(streamId)
  }

  #endProbe (): void {
    for (const [streamId, seq] of this.#probe?.taken ?? []) this.#taken.set(streamId, Math.max(seq, this.#taken.get(streamId) ?? 0))
    for (const [streamId, seq] of this.#probe?.sent ?? []) this.#sent.set(streamId, Math.max(seq, this.#sent.get(streamId) ?? 0))
    this.#probe = undefined
    this.isBehind = true
  }

  #isFull ({ records, bytes }: Parcel): boolean { return records.length >= this.#options.parcelRecordsMax || bytes >= this.#options.parcelBytesMax }

  #push (streamId: string, seq: number, record: RecordOut, bytes: number): void {
    let parcel = this.#parcels.at(-1)
    if (parcel === undefined || this.#isFull(parcel)) {
      parcel = { records: [], bytes: 0, lastSeqs: new Map(), turn: this.turn }
      this.#parcels.push(parcel)
    }
    parcel.records.push(record)
    parcel.bytes += bytes + recordOverheadBytes
    parcel.lastSeqs.set(streamId, seq)
    this.#taken.set(streamId, seq)
  }

  /** Lines are copied into memory of the lane's own: a slow lane then keeps its own lines, and not whole frames. */
  #copy (body: Buffer, start: number, end: number): Buffer {
    const bytes = end - start
    if (this.#chunkUsed + bytes > this.#chunk.length) {
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(chunkBytes, bytes))
      this.#chunkUsed = 0
    }
    const from = this.#chunkUsed
    body.copy(this.#chunk, from, start, end)
    this.#chunkUsed += bytes
    return this.#chunk.subarray(from, this.#chunkUsed)
  }
}
