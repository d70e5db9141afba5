// An aggregator as the port wants it, without DuckDB: counts by the chain, archives later, forgets what it had only staged
// when its program dies. It also checks what every reader may rely on: order, chain and watermark of what it is given.
import assert from 'node:assert/strict'
import { followChain } from '../../src/domain/chain.ts'
import type { EventRun, HourMark, Mark, UsageLogItem, UsageProgress, VoidRun } from '../../src/usage-log/port.ts'

interface Line { readonly id: number, readonly hour: number, readonly t: number, readonly streamId: string, readonly seq: number, readonly prevSeq: number }

export class ModelAggregator {
  /** By event: how often. */
  counted = new Map<number, number>()
  readonly archived = new Map<number, number>()
  readonly hours = new Map<number, number>()
  readonly voids: VoidRun[] = []
  readonly gaps: string[] = []
  /** What each stream said last of each hour. */
  readonly marks = new Map<string, Map<number, HourMark>>()
  readonly ended = new Set<string>()
  readonly streams = new Set<string>()
  /** Set where marks may have been lost with a part of the journal, or a journal is read that is not the one that was. */
  isWatermarkLost = false
  /** `streamId/seq` of what was counted. */
  readonly seqs = new Set<string>()
  #last = new Map<string, number>()
  readonly #archivedSeq = new Map<string, number>()
  readonly #hourOf = new Map<number, number>()
  #staged: Line[] = []
  #stagedSeq = new Map<string, number>()
  readonly #seenEvents = new Set<number>()
  readonly #seenMarks = new Set<string>()
  #watermarkMs = 0

  progress (): UsageProgress[] {
    return [...this.#last].map(([streamId, appliedSeq]) => ({ streamId, appliedSeq, archivedSeq: this.#archivedSeq.get(streamId) ?? 0 }))
  }

  take (items: readonly UsageLogItem[]): void {
    for (const item of items) {
      switch (item.kind) {
        case 'events': this.#takeEvents(item); break
        case 'void': this.#takeVoid(item); break
        case 'mark': this.#takeMark(item); break
      }
    }
  }

  flush (): void {
    for (const { id } of this.#staged) this.archived.set(id, (this.archived.get(id) ?? 0) + 1)
    for (const [streamId, seq] of this.#stagedSeq) this.#archivedSeq.set(streamId, seq)
    this.#staged = []
  }

  /** Its program dies: committed counts stay, what waited for the archive is read again. */
  die (): void {
    this.#staged = []
    this.#stagedSeq = new Map(this.#archivedSeq)
  }

  /** Its database is an old copy, filled from the archive: what was not archived must come from the journal again. */
  restore (): void {
    this.die()
    this.counted = new Map(this.archived)
    this.#last = new Map(this.#archivedSeq)
    this.hours.clear()
    for (const [id, count] of this.archived) this.#addToHour(this.#hourOf.get(id) as number, count)
  }

  #takeEvents (run: EventRun): void {
    const lines = run.ndjson.toString().split('\n').slice(0, -1).map((line) => JSON.parse(line) as Line)
    assert.equal(lines.length, run.count)
    lines.forEach((line, index) => {
      assert.equal(line.streamId, run.streamId)
      assert.equal(line.seq, run.firstSeq + index)
      assert.equal(line.prevSeq, index === 0 ? run.prevSeq : line.seq - 1)
    })
    assert.equal(run.lastSeq, run.firstSeq + run.count - 1)
    this.#checkWatermark(lines)
    const verdict = followChain(this.#last.get(run.streamId) ?? 0, run)
    if (verdict.kind === 'gap') { this.gaps.push(`${run.streamId} after ${verdict.afterSeq}: ${run.firstSeq}`); return }
    this.streams.add(run.streamId)
    if (verdict.kind === 'count') {
      for (const line of lines) if (line.seq > verdict.takeAfterSeq) this.#count(line)
      this.#last.set(run.streamId, run.lastSeq)
    }
    this.#stage(run, lines)
  }

  #stage (run: EventRun, lines: readonly Line[]): void {
    const verdict = followChain(this.#stagedSeq.get(run.streamId) ?? 0, run)
    if (verdict.kind === 'gap') this.gaps.push(`${run.streamId}: the archive lacks ${verdict.afterSeq + 1} to ${run.prevSeq}`)
    if (verdict.kind !== 'count') return
    this.#staged.push(...lines.filter((line) => line.seq > verdict.takeAfterSeq))
    this.#stagedSeq.set(run.streamId, run.lastSeq)
  }

  #count (line: Line): void {
    this.counted.set(line.id, (this.counted.get(line.id) ?? 0) + 1)
    this.#hourOf.set(line.id, line.hour)
    this.seqs.add(`${line.streamId}/${line.seq}`)
    this.#addToHour(line.hour, 1)
  }

  #addToHour (hour: number, count: number): void { this.hours.set(hour, (this.hours.get(hour) ?? 0) + count) }

  #takeVoid (item: VoidRun): void {
    const verdict = followChain(this.#last.get(item.streamId) ?? 0, item)
    if (verdict.kind === 'gap') this.gaps.push(`void of ${item.streamId} after ${verdict.afterSeq}`)
    if (verdict.kind !== 'count') return
    this.streams.add(item.streamId)
    this.voids.push({ ...item, prevSeq: verdict.takeAfterSeq })
    this.#last.set(item.streamId, item.lastSeq)
    this.#stagedSeq.set(item.streamId, item.lastSeq)
  }

  #takeMark (mark: Mark): void {
    this.streams.add(mark.streamId)
    if (mark.state !== 'open') this.ended.add(mark.streamId)
    const said = this.marks.get(mark.streamId) ?? new Map<number, HourMark>()
    for (const hour of mark.hours) said.set(hour.hour, hour)
    this.marks.set(mark.streamId, said)
    const key = JSON.stringify(mark)
    if (this.#seenMarks.has(key)) return
    this.#seenMarks.add(key)
    if (!this.isWatermarkLost) assert.ok(mark.watermarkMs >= this.#watermarkMs, `the watermark fell from ${this.#watermarkMs} to ${mark.watermarkMs}`)
    this.#watermarkMs = mark.watermarkMs
  }

  /** What is read for the first time stands behind every mark that was read before. */
  #checkWatermark (lines: readonly Line[]): void {
    for (const { id, t } of lines) {
      if (this.#seenEvents.has(id)) continue
      this.#seenEvents.add(id)
      if (!this.isWatermarkLost) assert.ok(t >= this.#watermarkMs, `event ${id} has the time ${t}, below the watermark ${this.#watermarkMs}`)
    }
  }
}
