// A usage log in memory with gateways that write to it: the journal as the aggregator sees it. What is archived is dropped
// from its old end, as the real one does, so that an aggregator that reports too much loses what it had not archived.
import { randomUUID } from 'node:crypto'
import { encodeUsageEvent, isBillable } from '../../src/domain/usage-event.ts'
import type { UsageEvent } from '../../src/domain/usage-event.ts'
import { hourOf } from '../../src/domain/window.ts'
import type { EventRun, HourMark, Mark, UsageLog, UsageLogItem, UsageProgress, VoidRun } from '../../src/usage-log/port.ts'

/** An hour in which the tests' events lie. */
export const testHour = 490_000
export const testTimeMs = testHour * 3_600_000

export function usageEvent (given: Partial<UsageEvent> = {}): UsageEvent {
  return {
    eventId: randomUUID(),
    requestTimeMs: testTimeMs,
    responseTimeMs: testTimeMs + 5,
    requestProtocol: 'HTTP/1.1',
    requestMethod: 'GET',
    requestUri: '/api/things/7',
    responseStatus: 200,
    clientIp: '192.0.2.1',
    apiKeyId: 11,
    memberId: 1,
    memberGrade: 'GRADE_FREE',
    traceId: randomUUID(),
    routeId: 'api',
    apiEndpointId: 5,
    gatewayId: 'gateway-1',
    requestBytes: 10,
    responseBytes: 100,
    upstreamLatencyMs: 3,
    units: 1,
    ...given
  }
}

/** The line of an event where the journal put it. */
export function lineOf (event: UsageEvent, { streamId, seq, prevSeq }: { readonly streamId: string, readonly seq: number, readonly prevSeq: number }): string {
  return `${encodeUsageEvent(event)},"streamId":"${streamId}","seq":${seq},"prevSeq":${prevSeq}}`
}

/** A run of lines as they are. */
export function runOf (streamId: string, prevSeq: number, lines: readonly string[]): EventRun {
  return { kind: 'events', streamId, prevSeq, firstSeq: prevSeq + 1, lastSeq: prevSeq + lines.length, count: lines.length, ndjson: Buffer.from(lines.map((line) => `${line}\n`).join('')) }
}

/** One opening of a gateway's journal. Keeps the account that its marks tell. */
export class TestStream {
  readonly streamId = randomUUID()
  readonly gatewayId: string
  seq = 0
  readonly #log: MemoryUsageLog
  readonly #hours = new Map<number, HourMark>()
  #changed = new Set<number>()
  #watermarkMs = 0

  constructor (log: MemoryUsageLog, gatewayId: string) {
    this.#log = log
    this.gatewayId = gatewayId
  }

  /** Answers requests: one run, durable. @param replace lines that are written instead of an event's own */
  append (events: readonly UsageEvent[], replace: ReadonlyMap<number, string> = new Map()): EventRun {
    const lines = events.map((event, index) => replace.get(index) ?? lineOf({ ...event, gatewayId: this.gatewayId }, { streamId: this.streamId, seq: this.seq + index + 1, prevSeq: this.seq + index }))
    for (const event of events) {
      const hour = hourOf(event.requestTimeMs)
      this.#add(hour, { answered: 1, journaled: 1 })
      if (this.#log.billableByHour !== undefined && isBillable(event)) this.#log.billableByHour.set(hour, (this.#log.billableByHour.get(hour) ?? 0) + 1)
    }
    const run = runOf(this.streamId, this.seq, lines)
    this.seq = run.lastSeq
    this.#log.push(run)
    return run
  }

  /** Refusals that were only counted. */
  countOnly (hour: number, count: number): void { this.#add(hour, { answered: count, countedOnly: count }) }

  mark ({ watermarkMs = this.#watermarkMs, state = 'open' }: { readonly watermarkMs?: number, readonly state?: Mark['state'] } = {}): Mark {
    this.#watermarkMs = Math.max(watermarkMs, this.#watermarkMs)
    const mark: Mark = {
      kind: 'mark', streamId: this.streamId, gatewayId: this.gatewayId, seq: this.seq, watermarkMs: this.#watermarkMs, state,
      hours: [...this.#changed].map((hour) => this.#hours.get(hour) as HourMark)
    }
    this.#changed = new Set()
    this.#log.push(mark)
    return mark
  }

  /** Takes the place of the last `count` events, which can't be read any more. */
  void (events: readonly UsageEvent[], { isHoursUncertain = false } = {}): VoidRun {
    const hours = new Map<number, number>()
    for (const event of events) {
      const hour = hourOf(event.requestTimeMs)
      this.#add(hour, { answered: 1, journaled: 1 })
      hours.set(hour, isHoursUncertain ? 0 : (hours.get(hour) ?? 0) + 1)
    }
    const item: VoidRun = {
      kind: 'void', streamId: this.streamId, gatewayId: this.gatewayId, prevSeq: this.seq, lastSeq: this.seq + events.length, reason: 'unreadable block',
      hours: [...hours].map(([hour, count]) => ({ hour, count })), isHoursUncertain
    }
    this.seq = item.lastSeq
    this.#log.push(item)
    return item
  }

  #add (hour: number, change: Partial<Omit<HourMark, 'hour'>>): void {
    const known = this.#hours.get(hour) ?? { hour, answered: 0, journaled: 0, countedOnly: 0, recovered: 0 }
    this.#hours.set(hour, {
      hour,
      answered: known.answered + (change.answered ?? 0),
      journaled: known.journaled + (change.journaled ?? 0),
      countedOnly: known.countedOnly + (change.countedOnly ?? 0),
      recovered: known.recovered + (change.recovered ?? 0)
    })
    this.#changed.add(hour)
  }
}

export class MemoryUsageLog implements UsageLog {
  readonly partitions = [0]
  /** What is durable and not dropped, oldest first. */
  items: UsageLogItem[] = []
  /** Set to have billable events counted as they are answered. */
  billableByHour: Map<number, number> | undefined
  /** At most so many items a read. */
  itemsPerRead = Infinity
  #next = 0
  #wholeBefore = 0
  dropped = 0

  openStream (gatewayId = 'gateway-1'): TestStream { return new TestStream(this, gatewayId) }

  push (item: UsageLogItem): void { this.items.push(item) }

  read (_partition: number, bytesMax: number): readonly UsageLogItem[] {
    this.#wholeBefore = this.#next
    const taken: UsageLogItem[] = []
    let bytes = 0
    while (this.#next < this.items.length && taken.length < this.itemsPerRead && bytes < bytesMax) {
      const item = this.items[this.#next++] as UsageLogItem
      if (item.kind === 'events') bytes += item.ndjson.length
      taken.push(item)
    }
    return taken
  }

  rewind (): void {
    this.#next = 0
    this.#wholeBefore = 0
  }

  reportProgress (_partition: number, progress: readonly UsageProgress[]): void {
    const archived = new Map(progress.map(({ streamId, appliedSeq, archivedSeq }) => [streamId, Math.min(appliedSeq, archivedSeq)]))
    for (; this.#wholeBefore > 0; this.#wholeBefore--, this.#next--, this.dropped++) {
      const [oldest] = this.items
      if (oldest === undefined || (oldest.kind !== 'mark' && oldest.lastSeq > (archived.get(oldest.streamId) ?? 0))) return
      this.items.shift()
    }
  }

  close (): void { /* nothing is open */ }
}
