// What this gateway has to say of itself on the topic gateway-progress: for each stream its newest mark, and the newest
// account of each hour that changed since. While Kafka is away marks replace each other here: what grows is the number of
// hours, not of seconds. A mark covers seqs by number, so it may be said before its events are shipped: whoever calls an hour
// complete waits until they are counted. It is never said before the journal holds it.
//
// Open streams are said before ended ones, and later ones before earlier: a gateway with a stream that is not known yet must
// not look as if it had ended.
import type { RecordOut } from '../kafka/port.ts'
import type { Logger } from '../platform/logger.ts'
import { encodeHourMark, encodeMark } from '../usage-log/gateway-progress.ts'
import type { StreamMark } from '../usage-log/gateway-progress.ts'
import type { HourMark, Mark } from '../usage-log/port.ts'

interface Unsaid { mark: StreamMark, readonly hours: Map<number, HourMark> }

/** Said in one go, in this order. */
export interface StatementBatch {
  readonly records: readonly RecordOut[]
  readonly streams: ReadonlyMap<string, Unsaid>
  /** All statements of the journal up to this number are said with it. */
  readonly upTo: number
  /** Our own newest stream's mark is in it. */
  readonly own: StreamMark | undefined
}

export class Statements {
  /** The journal's newest stream. */
  ownStreamId: string | undefined
  /** All statements up to this number have been acknowledged. */
  saidUpTo = 0
  /** Our own newest stream has been acknowledged: its hello is through. */
  isOwnSaid = false
  #unsaid = new Map<string, Unsaid>()
  #begins = 1
  readonly #published = new Map<string, number>()
  /** In which order streams began; the oldest ones began before the journal's first frame. */
  readonly #begun = new Map<string, number>()
  readonly #log: Logger

  constructor (log: Logger) { this.#log = log }

  get hasUnsaid (): boolean { return this.#unsaid.size > 0 }

  /** Hours and streams that wait. */
  get waiting (): number {
    let count = 0
    for (const { hours } of this.#unsaid.values()) count += 1 + hours.size
    return count
  }

  /** The stream is being written: it begins, or goes on in a new segment. */
  began (streamId: string): void {
    if (streamId === this.ownStreamId) return
    this.ownStreamId = streamId
    this.#begun.set(streamId, this.#begins++)
    this.isOwnSaid = false
  }

  /** @param hours those that changed */
  take (mark: StreamMark, hours: readonly HourMark[]): void {
    const unsaid = this.#unsaid.get(mark.streamId)
    if (unsaid === undefined) this.#unsaid.set(mark.streamId, { mark, hours: new Map(hours.map((hour) => [hour.hour, hour])) })
    else {
      unsaid.mark = mark
      for (const hour of hours) unsaid.hours.set(hour.hour, hour)
    }
  }

  /**
   * What the topic says of a stream of this journal. A copy of the journal that is older than that must not take back what was
   * said: it would end a stream that goes on elsewhere, with counts that are too low.
   */
  published ({ streamId, seq }: Pick<Mark, 'streamId' | 'seq'>): void { this.#published.set(streamId, seq) }

  /**
   * @param statementCount statements that were taken
   * @param mayEnd false: that our own stream has ended is not said yet
   * @returns undefined when there is nothing to say
   */
  next (statementCount: number, mayEnd: boolean): StatementBatch | undefined {
    const streams = new Map<string, Unsaid>()
    let upTo = statementCount
    for (const [streamId, unsaid] of this.#unsaid) {
      if (streamId === this.ownStreamId && unsaid.mark.state === 'closed' && !mayEnd) {
        upTo = this.saidUpTo
        if (!this.isOwnSaid || unsaid.hours.size > 0) streams.set(streamId, this.#stillOpen(unsaid))
        continue
      }
      this.#unsaid.delete(streamId)
      if (!this.#isTakenBack(unsaid.mark)) streams.set(streamId, unsaid)
    }
    if (streams.size === 0) {
      this.saidUpTo = Math.max(this.saidUpTo, upTo)
      return undefined
    }
    const begun = ({ mark: { streamId } }: Unsaid): number => this.#begun.get(streamId) ?? 0
    const ordered = [...streams.values()].sort((a, b) => Number(a.mark.state !== 'open') - Number(b.mark.state !== 'open') || begun(b) - begun(a))
    const records = ordered.flatMap(({ mark, hours }) => [
      ...[...hours.values()].map((hour) => encodeHourMark({ gatewayId: mark.gatewayId, streamId: mark.streamId, ...hour })),
      encodeMark(mark)
    ])
    return { records, streams, upTo, own: this.ownStreamId === undefined ? undefined : streams.get(this.ownStreamId)?.mark }
  }

  acknowledged ({ upTo, own }: StatementBatch): void {
    this.saidUpTo = Math.max(this.saidUpTo, upTo)
    if (own !== undefined && own.streamId === this.ownStreamId) this.isOwnSaid = true
  }

  /** It is not known what of the batch was appended: all is said again, but for what has been replaced meanwhile. */
  failed ({ streams }: StatementBatch): void {
    const newer = this.#unsaid
    this.#unsaid = new Map(streams)
    for (const { mark, hours } of newer.values()) this.take(mark, [...hours.values()])
  }

  keepOnly (isKept: (streamId: string) => boolean): void {
    for (const streamId of this.#published.keys()) if (!isKept(streamId)) this.#published.delete(streamId)
    for (const streamId of this.#begun.keys()) if (!isKept(streamId)) this.#begun.delete(streamId)
  }

  /** Its end waits for its events. But it is said that there is such a stream: else the ends of others could be all that is known. */
  #stillOpen ({ mark, hours }: Unsaid): Unsaid {
    this.#unsaid.set(mark.streamId, { mark, hours: new Map() })
    return { mark: { ...mark, state: 'open' }, hours }
  }

  #isTakenBack ({ streamId, seq, state }: StreamMark): boolean {
    const said = this.#published.get(streamId)
    if (said === undefined || said <= seq || state === 'open') return false
    this.#log.error({ streamId, seq, saidSeq: said }, 'this journal is an older copy: its stream went further than the copy knows, and is not ended by it. End it with `tollgate gateway retire` if the original is lost')
    return true
  }
}
