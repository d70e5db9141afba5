// Deliberate mistakes in the journal, each of which the simulation must notice.
import type { Mutant } from '../helpers/source-mutants.ts'

interface JournalMutant extends Mutant {
  /** Exports `run (seed)`. */
  readonly scenario: './journal-scenario.ts' | './recovery-scenario.ts' | './damage-scenario.ts' | './restored-scenario.ts'
  readonly runsMax: number
}

type Described = Mutant & Partial<JournalMutant>

const mutants: readonly Described[] = [
  {
    name: 'writes are not synced', file: 'test/helpers/simulated-disk.ts',
    changes: [['isCommitDurable: true', 'isCommitDurable: false']]
  },
  {
    name: 'folders are not synced', file: 'test/helpers/simulated-disk.ts',
    changes: [['isFolderSyncReal: true', 'isFolderSyncReal: false']]
  },
  {
    name: 'tickets settle before the write', file: 'src/journal/journal.ts',
    changes: [
      ['      const bytes = this.#log.writeEvents(this.#batch)', '      this.#batch.settle()\n      const bytes = this.#log.writeEvents(this.#batch)'],
      ['    this.#batch.settle()\n    this.#wakeWorkers()', '    this.#wakeWorkers()'],
      ['      if (count > 0) this.#batch.fail()\n', '']
    ]
  },
  {
    name: 'a failed batch settles like any other', file: 'src/journal/journal.ts',
    changes: [['      if (count > 0) this.#batch.fail()', '      if (count > 0) this.#batch.settle()']]
  },
  {
    name: 'the failed range is not kept until its worker has seen it', file: 'src/journal/journal.ts',
    changes: [['if (nowMs < retryDueMs || !haveActed) return false', 'if (nowMs < retryDueMs || (!haveActed && nowMs < 0)) return false']]
  },
  {
    name: 'segments are recycled when counted, not when archived', file: 'src/usage-log/trim-ledger.ts',
    changes: [['Math.min(appliedSeq, archivedSeq)', 'Math.max(appliedSeq, archivedSeq)']]
  },
  {
    name: 'marks do not hold a segment back', file: 'src/usage-log/trim-ledger.ts',
    changes: [['oldest.segment >= this.#wholeBefore', 'oldest.segment < 0']]
  },
  {
    name: 'a repeat is counted again', file: 'src/domain/chain.ts',
    changes: [["if (run.lastSeq <= lastTakenSeq) return { kind: 'duplicate' }\n", '']]
  },
  {
    name: 'an opening goes on in the same stream', file: 'src/journal/log.ts',
    changes: [["this.#stream = new Stream(newUuid(), options.partitions)", "this.#stream = new Stream('00000000-0000-4000-8000-000000000000', options.partitions)"]]
  },
  {
    name: 'a stream is known by its place in the journal', file: 'src/journal/log.ts', scenario: './restored-scenario.ts',
    changes: [["this.#stream = new Stream(newUuid(), options.partitions)", "this.#stream = new Stream(`00000000-0000-4000-8000-${String(recovered.nextSegment).padStart(12, '0')}`, options.partitions)"]]
  },
  {
    name: 'frames of a segment\'s earlier life are read', file: 'src/journal/frame.ts',
    changes: [['segment !== place.segment || offset !== place.offset', 'offset !== place.offset']]
  },
  {
    name: 'the end that the next segment states is ignored', file: 'src/journal/reader.ts',
    changes: [['current.end = this.#following[0]?.previous.offset ?? current.offset', 'current.end = current.file.sizeBytes()']]
  },
  {
    name: 'the body of a frame is not checked', file: 'src/journal/scanner.ts',
    changes: [['return crc32(body) === header.bodyCrc ? body : undefined', 'return crc32(body) === header.bodyCrc || body.length > 0 ? body : undefined']]
  },
  {
    name: 'what a killed program wrote is built upon before it is durable', file: 'src/journal/recovery.ts',
    changes: [['if (walk.tail !== undefined) walk.repair.makeDurable(walk.tail.segment)\n', '']]
  },
  {
    name: 'a file of zeros becomes a segment before it is durable', file: 'src/journal/store.ts', scenario: './recovery-scenario.ts',
    changes: [['      file.sync()\n      this.#disk.rename', '      this.#disk.rename']]
  },
  {
    name: 'a segment begun and given up counts as the log\'s end', file: 'src/journal/recovery.ts', scenario: './recovery-scenario.ts',
    changes: [['const empty = walk.dropEmptyTail()', 'const empty: string[] = []']]
  },
  {
    name: 'a segment that was given up comes back after the log has gone on elsewhere', file: 'src/journal/recovery.ts', scenario: './recovery-scenario.ts',
    changes: [['  disk.syncFolder(folder)\n  // What an interrupted', '  // What an interrupted']]
  },
  {
    name: 'a recycled file is renamed before its header is durable', file: 'src/journal/store.ts',
    changes: [
      ["      file = this.#disk.open(path.join(folder, name), 'commit')", "      file = this.#disk.open(path.join(folder, name), 'fill')"],
      ['      file.sync()\n      this.#disk.rename', '      this.#disk.rename']
    ]
  },
  {
    name: 'a mark says more answered than it accounts for', file: 'src/journal/journal.ts',
    changes: [['answered.push({ hour, count })', 'stream.addAnswered(hour, count)']]
  },
  {
    name: 'answers of a crashed stream are not recovered', file: 'src/journal/summary.ts',
    changes: [['recovered: Math.max(journaled + countedOnly - answered, 0), isChanged', 'recovered: 0, isChanged']]
  },
  {
    name: 'a new segment does not restate the hours in use', file: 'src/journal/log.ts',
    changes: [["hours: this.#stream.hours('all'), previous", 'hours: [], previous']]
  },
  {
    name: 'the watermark is the clock', file: 'src/journal/watermark.ts',
    changes: [['if (oldestMs > 0) markMs = Math.min(markMs, oldestMs)', 'if (oldestMs < 0) markMs = oldestMs']]
  },
  {
    name: 'a gap is skipped', file: 'src/domain/chain.ts', scenario: './damage-scenario.ts',
    changes: [['if (run.prevSeq <= lastTakenSeq)', 'if (run.prevSeq >= 0)']]
  },
  {
    name: 'the first frame that can\'t be read is the end of the log', file: 'src/journal/recovery.ts', scenario: './damage-scenario.ts',
    changes: [['const known = following ?? end', 'const known = following === undefined ? end : undefined']]
  },
  {
    name: 'a file that was cut short is not noticed', file: 'src/journal/recovery.ts', scenario: './damage-scenario.ts',
    changes: [['if (cutAt !== undefined && offset + blockBytes > cutAt', 'if (cutAt === -1 && offset + blockBytes > cutAt']]
  },
  {
    name: 'a missing segment is passed over', file: 'src/journal/inventory.ts', scenario: './damage-scenario.ts',
    changes: [['      links.unshift({ segment: previous.segment, file: undefined, end })\n', '']]
  },
  {
    name: 'a void ends one record too early', file: 'src/journal/voids.ts', scenario: './damage-scenario.ts',
    changes: [["type === 'void' ? firstSeq - 1 : firstSeq }", "type === 'void' ? firstSeq - 2 : firstSeq }"]]
  },
  {
    name: 'damaged bytes are not kept', file: 'src/journal/recovery.ts', scenario: './damage-scenario.ts',
    changes: [['const copy = this.repair.quarantine(header, region, mend.file)', "const copy = ''"]]
  },
  {
    name: 'the watermark is forgotten at a restart', file: 'src/journal/journal.ts',
    changes: [['clock, recovered.watermarkMs)', 'clock, 0)']]
  }
]

/** Most are noticed by the first runs; the others stand in the way of things that are rare. */
export const journalMutants: readonly JournalMutant[] = mutants.map((mutant) => ({ scenario: './journal-scenario.ts', runsMax: 1000, ...mutant }))
