// What the frames of a journal add up to, stream by stream, in log order: enough to end a stream that a crash has left open.
import type { HourMark } from '../usage-log/port.ts'
import { lastSeqOf } from './frame.ts'
import type { FrameHeader } from './frame.ts'
import type { MarkBody, OpenBody, VoidBody } from './statement.ts'

/** A stream that was not closed: `hours` is what its last mark must say. */
export interface UnendedStream {
  readonly streamId: string
  readonly lastSeq: number
  readonly gatewayId: string
  readonly partitions: number
  readonly hours: readonly HourMark[]
}

interface Tally { answered: number, journaled: number, countedOnly: number, isChanged: boolean }

/** `partitions` is 0 while no frame has said it. */
interface StreamSummary { lastSeq: number, gatewayId: string, partitions: number, readonly tallies: Map<number, Tally> }

export class JournalSummary {
  readonly #streams = new Map<string, StreamSummary>()
  /** The stream that was written last, ended or not. */
  lastStream: { readonly streamId: string, readonly lastSeq: number } | undefined
  /** The largest one in any frame, milliseconds; 0 without any. */
  watermarkMs = 0
  /** Of the last event that could be read. */
  lastHour: number | undefined

  /** Streams that no frame so far has ended, oldest first. */
  get unended (): UnendedStream[] {
    return [...this.#streams].map(([streamId, { lastSeq, gatewayId, partitions, tallies }]) => ({
      streamId, lastSeq, gatewayId, partitions: Math.max(partitions, 1),
      hours: [...tallies].map(([hour, { answered, journaled, countedOnly, isChanged }]) =>
        ({ hour, answered, journaled, countedOnly, recovered: Math.max(journaled + countedOnly - answered, 0), isChanged }))
        .filter(({ recovered, isChanged }) => recovered > 0 || isChanged)
        .map(({ isChanged: _, ...mark }) => mark)
    }))
  }

  /** What is known of a stream that is not ended. */
  of (streamId: string): Readonly<Pick<StreamSummary, 'lastSeq' | 'gatewayId' | 'partitions'>> | undefined { return this.#streams.get(streamId) }

  /** The seq that the next record of this stream must have, when anything of it was seen. */
  nextSeqOf (streamId: string): number | undefined {
    const stream = this.#streams.get(streamId)
    return stream === undefined ? undefined : stream.lastSeq + 1
  }

  /** @param body parsed, for all but events */
  add (header: FrameHeader, body: unknown): void {
    switch (header.type) {
      case 'events': this.#addEvents(header); break
      case 'void': this.#addVoid(header, body as VoidBody); break
      case 'open': this.#addOpen(header, body as OpenBody); break
      case 'mark': case 'closed': case 'continue': this.#addMark(header, body as MarkBody); break
    }
  }

  #addEvents (header: FrameHeader): void {
    const stream = this.#stream(header.streamId)
    stream.lastSeq = lastSeqOf(header)
    this.lastStream = { streamId: header.streamId, lastSeq: stream.lastSeq }
    for (const { hour, count } of header.hours) {
      this.#addJournaled(stream, hour, count)
      this.lastHour = hour
    }
  }

  #addVoid (header: FrameHeader, body: VoidBody): void {
    if (header.count === 0) return
    const stream = this.#stream(header.streamId)
    stream.lastSeq = lastSeqOf(header)
    stream.gatewayId ||= body.gatewayId
    this.lastStream = { streamId: header.streamId, lastSeq: stream.lastSeq }
    for (const [hour, count] of body.hours ?? []) this.#addJournaled(stream, hour, count)
  }

  #addOpen (header: FrameHeader, body: OpenBody): void {
    const stream = this.#stream(header.streamId)
    stream.gatewayId = body.gatewayId
    stream.partitions = body.partitions
    this.lastStream = { streamId: header.streamId, lastSeq: stream.lastSeq }
    this.watermarkMs = Math.max(this.watermarkMs, body.watermarkMs)
  }

  #addMark (header: FrameHeader, body: MarkBody): void {
    this.watermarkMs = Math.max(this.watermarkMs, body.watermarkMs)
    if (body.state !== 'recovered') this.lastStream = { streamId: header.streamId, lastSeq: header.firstSeq }
    if (body.state !== 'open') { this.#streams.delete(header.streamId); return }
    const stream = this.#stream(header.streamId)
    stream.gatewayId = body.gatewayId
    stream.partitions = body.partitions
    stream.lastSeq = header.firstSeq
    for (const tally of stream.tallies.values()) tally.isChanged = false
    for (const [hour, answered, journaled, countedOnly] of body.hours) stream.tallies.set(hour, { answered, journaled, countedOnly, isChanged: false })
  }

  #addJournaled (stream: StreamSummary, hour: number, count: number): void {
    const tally = stream.tallies.get(hour)
    if (tally === undefined) stream.tallies.set(hour, { answered: 0, journaled: count, countedOnly: 0, isChanged: true })
    else {
      tally.journaled += count
      tally.isChanged = true
    }
  }

  #stream (streamId: string): StreamSummary {
    let stream = this.#streams.get(streamId)
    if (stream === undefined) {
      stream = { lastSeq: 0, gatewayId: '', partitions: 0, tallies: new Map() }
      this.#streams.set(streamId, stream)
    }
    return stream
  }
}
