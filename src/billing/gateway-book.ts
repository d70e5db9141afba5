// What gateways say of themselves: the fold of the topic gateway-progress, in memory, read from its beginning at each start.
//
// A stream's watermark counts from the moment at which everything that its mark covers is counted; until then the last
// watermark that was counts. A stream that has ended holds nothing back once all of it is counted. A retirement ends those
// streams of its gateway that have said nothing since: whoever speaks again under that name is there again.
//
// Memory: 36 bytes an hour of a stream, some 500 bytes a stream and at most `pendingMax` marks of a stream that wait for
// being counted. Ten gateways that are started anew each day take about 6 MB a year.
import type { RecordIn } from '../kafka/port.ts'
import { parseGatewayStatement } from '../usage-log/gateway-progress.ts'
import type { Retirement, StreamMark } from '../usage-log/gateway-progress.ts'
import { HourAccounts } from './hour-accounts.ts'

/** When the broker took it, by the broker's clock, and where it stands in the topic. */
interface Placed { readonly offset: number, readonly appendMs: number }
export interface PlacedMark extends StreamMark, Placed {}
export interface PlacedRetirement extends Retirement, Placed {}

/** Beyond it every second one is dropped: watermarks then move in larger steps. */
const pendingMax = 64
/** A watermark ahead of the broker's clock by more: a gateway whose clock is wrong. */
export const clockAheadMsMax = 2_000

const rank = { open: 0, closed: 1, recovered: 1 } as const satisfies Record<StreamMark['state'], number>

/** A mark that is sent again must not undo a later one. */
function isNewer (mark: StreamMark, than: StreamMark): boolean {
  if (mark.seq !== than.seq) return mark.seq > than.seq
  if (rank[mark.state] !== rank[than.state]) return rank[mark.state] > rank[than.state]
  return mark.watermarkMs >= than.watermarkMs
}

export class GatewayStream {
  readonly gatewayId: string
  readonly streamId: string
  readonly hours = new HourAccounts()
  /** Undefined while only hours are known. */
  newest: PlacedMark | undefined
  /** Of the newest mark that is counted; 0 for none. */
  countedMs = 0
  /** How far the watermark is behind the broker's clock at least: the gateway's clock against the broker's, and the way. */
  lagMsMin = Infinity
  /** The last mark that said something new, and how many came after it that did not. */
  #pending: PlacedMark[] = []
  /** Marks in a row that cover no event more than the one before, by the offset of the first of them. */
  quietSince: { readonly seq: number, readonly offsets: number[] } | undefined

  constructor (gatewayId: string, streamId: string) {
    this.gatewayId = gatewayId
    this.streamId = streamId
  }

  /** Marks wait for being counted. */
  get isPending (): boolean { return this.#pending.length > 0 }
  get hasEnded (): boolean { return this.newest !== undefined && this.newest.state !== 'open' }

  /** @returns whether it was the newest */
  take (mark: PlacedMark): boolean {
    this.lagMsMin = Math.min(this.lagMsMin, mark.appendMs - mark.watermarkMs)
    if (this.newest !== undefined && !isNewer(mark, this.newest)) return false
    if (this.quietSince?.seq === mark.seq) this.quietSince = { seq: mark.seq, offsets: [...this.quietSince.offsets, mark.offset].slice(-quietMarks) }
    else this.quietSince = { seq: mark.seq, offsets: [mark.offset] }
    this.newest = mark
    this.#pending.push(mark)
    if (this.#pending.length > pendingMax) this.#pending = this.#pending.filter((_, index) => index % 2 === 0 || index === this.#pending.length - 1)
    return true
  }

  /** @param appliedSeq how far a partition has counted the stream */
  count (appliedSeq: (partition: number) => number): void {
    const last = this.#pending.findLastIndex(({ lastSeqs }) => lastSeqs.every(([partition, lastSeq]) => appliedSeq(partition) >= lastSeq))
    const mark = this.#pending[last]
    if (mark === undefined) return
    // Nobody has reached a time that the broker's clock hasn't.
    this.countedMs = Math.max(this.countedMs, Math.min(mark.watermarkMs, mark.appendMs))
    this.#pending.splice(0, last + 1)
  }
}

/** So many marks in a row without a new event: nothing is on its way any more. */
export const quietMarks = 3

export interface GatewayBookOptions {
  /** A watermark lies in the broker's future. */
  readonly onAhead: (mark: PlacedMark) => void
  readonly onMalformed: (record: RecordIn) => void
}

export class GatewayBook {
  readonly #options: GatewayBookOptions
  readonly #streams = new Map<string, GatewayStream>()
  readonly #retirements = new Map<string, PlacedRetirement>()
  #changedHour = Infinity
  /** The newest time that the broker's clock has shown; 0 for none. */
  lastAppendMs = 0

  constructor (options: GatewayBookOptions) { this.#options = options }

  get streams (): Iterable<GatewayStream> { return this.#streams.values() }

  clear (): void {
    this.#streams.clear()
    this.#retirements.clear()
    this.#changedHour = 0
    this.lastAppendMs = 0
  }

  take (records: readonly RecordIn[]): void {
    for (const record of records) this.#takeOne(record)
  }

  stream (streamId: string): GatewayStream | undefined { return this.#streams.get(streamId) }

  /** What is counted of streams by now; of all that wait for it. */
  count (streams: readonly { readonly partition: number, readonly streamId: string, readonly appliedSeq: number }[]): void {
    const applied = new Map(streams.map(({ partition, streamId, appliedSeq }) => [`${partition} ${streamId}`, appliedSeq]))
    for (const stream of this.#streams.values()) {
      if (stream.isPending) stream.count((partition) => applied.get(`${partition} ${stream.streamId}`) ?? 0)
    }
  }

  /** The retirement that has ended the stream. */
  retirementOf ({ gatewayId, newest }: GatewayStream): PlacedRetirement | undefined {
    const retirement = this.#retirements.get(gatewayId)
    return retirement !== undefined && (newest?.offset ?? 0) < retirement.offset ? retirement : undefined
  }

  retirement (gatewayId: string): PlacedRetirement | undefined { return this.#retirements.get(gatewayId) }

  /** The first hour whose accounts have changed since it was last asked for; Infinity for none. */
  takeChangedHour (): number {
    const hour = this.#changedHour
    this.#changedHour = Infinity
    return hour
  }

  #takeOne (record: RecordIn): void {
    const statement = parseGatewayStatement(record)
    this.lastAppendMs = Math.max(this.lastAppendMs, record.timestampMs)
    if (statement === undefined) { this.#options.onMalformed(record); return }
    const placed = { offset: record.offset, appendMs: record.timestampMs }
    switch (statement.kind) {
      case 'retired': {
        this.#retirements.set(statement.gatewayId, { ...statement, ...placed })
        this.#changedHour = 0
        break
      }
      case 'hour': {
        if (statement.hour >= 2 ** 31) { this.#options.onMalformed(record); break }
        if (this.#at(statement).hours.set(statement.hour, statement)) this.#changedHour = Math.min(this.#changedHour, statement.hour)
        break
      }
      case 'mark': {
        const mark: PlacedMark = { ...statement, ...placed }
        if (this.#at(statement).take(mark) && mark.watermarkMs > mark.appendMs + clockAheadMsMax) this.#options.onAhead(mark)
        break
      }
    }
  }

  #at ({ gatewayId, streamId }: { readonly gatewayId: string, readonly streamId: string }): GatewayStream {
    const found = this.#streams.get(streamId) ?? new GatewayStream(gatewayId, streamId)
    this.#streams.set(streamId, found)
    return found
  }
}
