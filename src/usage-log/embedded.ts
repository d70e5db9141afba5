// The usage log of one machine: the journal itself is the log, with one partition. Items come in the journal's order; a
// segment may be recycled once the aggregator's own record says that all in it is counted and archived.
import { TollgateError } from '../domain/errors.ts'
import { copyJournal } from '../journal/copy.ts'
import { openDisk } from '../journal/disk.ts'
import type { Disk, DiskKind } from '../journal/disk.ts'
import { lastSeqOf } from '../journal/frame.ts'
import type { FrameHeader } from '../journal/frame.ts'
import { JournalState } from '../journal/memory.ts'
import { JournalReader } from '../journal/reader.ts'
import { hourMark } from '../journal/statement.ts'
import type { MarkBody, OpenBody, VoidBody } from '../journal/statement.ts'
import { voidHours } from '../journal/voids.ts'
import { RunBuilder, RunMemory } from './run-builder.ts'
import { TrimLedger } from './trim-ledger.ts'
import type { Mark, UsageLog, UsageLogItem, UsageProgress, VoidRun } from './port.ts'

/** What `startJournal` returns as `reader`; crosses threads. */
export interface EmbeddedUsageLogSpec {
  readonly folder: string
  readonly disk: DiskKind
  readonly state: SharedArrayBuffer
}

export function openEmbeddedUsageLog (spec: EmbeddedUsageLogSpec): UsageLog & Required<Pick<UsageLog, 'copyTo'>> {
  const log = new EmbeddedUsageLog(openDisk(spec.disk), spec.folder, new JournalState(spec.state))
  return Object.assign(log, { copyTo: async (folder: string) => await copyJournal(spec, folder) })
}

const partition = 0

/** Exported for simulations, which bring a disk of their own. */
export class EmbeddedUsageLog implements UsageLog {
  readonly partitions = [partition]
  readonly #state: JournalState
  readonly #reader: JournalReader
  readonly #trim = new TrimLedger()
  readonly #memory = new RunMemory()

  constructor (disk: Disk, folder: string, state: JournalState) {
    this.#state = state
    this.#reader = new JournalReader({ disk, folder, state })
  }

  read (_partition: number, bytesMax: number): readonly UsageLogItem[] {
    this.#trim.beginRead()
    const items: UsageLogItem[] = []
    const runs = new RunBuilder((run) => { items.push(run) }, bytesMax, this.#memory)
    while (!runs.isFull) {
      const frame = this.#reader.next((header) => !this.#isArchived(header))
      if (frame === undefined) break
      const { header, body } = frame
      this.#trim.took(header.segment, header)
      if (header.type === 'events') {
        const run = onlyRun(header)
        if (body !== undefined) runs.add(header, run.prevSeq, body, this.#reader.waitingBytes)
        continue
      }
      const item = body === undefined ? undefined : statementOf(header, JSON.parse(body.toString()))
      if (item === undefined) continue
      runs.end()
      items.push(item)
    }
    runs.end()
    return items
  }

  release (): void { this.#memory.release() }

  rewind (): void {
    this.#reader.rewind()
    this.#trim.rewind()
    this.#state.trimBelow = 0
  }

  reportProgress (_partition: number, progress: readonly UsageProgress[]): void {
    const below = this.#trim.report(progress)
    if (below !== undefined) this.#state.trimBelow = below
  }

  close (): void { this.#reader.close() }

  /** Nobody needs the events of this frame any more. */
  #isArchived (header: FrameHeader): boolean {
    return header.type === 'events' && lastSeqOf(header) <= this.#trim.archivedSeq(header.streamId)
  }
}

/** The one partition's run of a frame. @throws TollgateError when the journal was made for several partitions */
function onlyRun (header: FrameHeader): FrameHeader['runs'][number] {
  const [run] = header.runs
  if (run === undefined || header.runs.length > 1 || run.partition !== partition) {
    throw new TollgateError('JOURNAL_PARTITIONED', `stream ${header.streamId} in segment ${header.segment}`)
  }
  return run
}

function statementOf (header: FrameHeader, body: unknown): VoidRun | Mark | undefined {
  switch (header.type) {
    case 'events': return undefined
    case 'void': return header.count === 0 ? undefined : voidOf(header, body as VoidBody)
    // A stream is known from its beginning: its gateway's hours are not complete before it has said so.
    case 'open': return markOf(header, { ...(body as OpenBody), state: 'open', hours: [] })
    case 'mark': case 'closed': case 'continue': return markOf(header, body as MarkBody)
  }
}

function markOf (header: FrameHeader, { gatewayId, watermarkMs, state, hours }: Pick<MarkBody, 'gatewayId' | 'watermarkMs' | 'state' | 'hours'>): Mark {
  return { kind: 'mark', streamId: header.streamId, gatewayId, seq: header.firstSeq, watermarkMs, state, hours: hours.map(hourMark) }
}

function voidOf (header: FrameHeader, body: VoidBody): VoidRun {
  const { prevSeq, lastSeq } = onlyRun(header)
  const { hours, isUncertain } = voidHours(body)
  return { kind: 'void', streamId: header.streamId, gatewayId: body.gatewayId, prevSeq, lastSeq, reason: body.reason, hours, isHoursUncertain: isUncertain }
}
