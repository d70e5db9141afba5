// Reading a partition of the topic of hourly counts from its start to the record of our own take-over: what stands before
// it is all there is, because nobody else can publish since.
import { TollgateError } from '../domain/errors.ts'
import { parseHourlyRecord } from '../hourly-log/kafka-record.ts'
import type { HourlyRecord, ProgressValue } from '../hourly-log/kafka-record.ts'
import { OutOfRangeError } from '../kafka/port.ts'
import type { PartitionReader, RecordIn } from '../kafka/port.ts'

export interface HourlyScan {
  /** Of committed records. */
  readonly reader: PartitionReader
  readonly partition: number
  readonly takeOverId: string
  /** True: nobody needs the result any more. */
  readonly isCancelled: () => boolean
  readonly onMalformed: (key: string, problem: string) => void
}

const readBytesMax = 4 * 2 ** 20
const waitMs = 500
/** Reads at the end of the log that may pass until the record is there: it was acknowledged before. */
const emptyReadsMax = 60

/** The last progress of the topic; undefined when it has none. Rows aren't looked at. */
export async function readProgress (scan: HourlyScan): Promise<ProgressValue | undefined> {
  let last: RecordIn | undefined
  await readUp(scan, (record) => {
    if (record.key?.startsWith('progress|') === true && isReadable(record, scan)) last = record
    return undefined
  })
  const parsed = last === undefined ? undefined : parseHourlyRecord(last, scan.partition)
  return parsed !== undefined && 'kind' in parsed && parsed.kind === 'progress' ? parsed.value : undefined
}

/** Hands out everything. @returns the last progress */
export async function readState (scan: HourlyScan, take: (record: HourlyRecord) => Promise<void> | undefined): Promise<ProgressValue | undefined> {
  let progress: ProgressValue | undefined
  await readUp(scan, (record) => {
    const parsed = parseHourlyRecord(record, scan.partition)
    if ('problem' in parsed) { scan.onMalformed(record.key ?? '', parsed.problem); return undefined }
    if (parsed.kind === 'progress') progress = parsed.value
    return take(parsed)
  })
  return progress
}

/** How far the topic has counted each stream. */
export async function readAppliedSeqs (scan: HourlyScan): Promise<ReadonlyMap<string, number>> {
  const seqs = new Map<string, number>()
  await readUp(scan, (record) => {
    if (record.key?.startsWith('stream|') !== true) return undefined
    const parsed = parseHourlyRecord(record, scan.partition)
    if ('kind' in parsed && parsed.kind === 'stream') seqs.set(parsed.streamId, parsed.value.appliedSeq)
    return undefined
  })
  return seqs
}

function isReadable (record: RecordIn, { partition, onMalformed }: HourlyScan): boolean {
  const parsed = parseHourlyRecord(record, partition)
  if (!('problem' in parsed)) return true
  onMalformed(record.key ?? '', parsed.problem)
  return false
}

async function readUp ({ reader, partition, takeOverId, isCancelled }: HourlyScan, visit: (record: RecordIn) => Promise<void> | undefined): Promise<void> {
  let offset = 0
  for (let emptyReads = 0; emptyReads < emptyReadsMax;) {
    if (isCancelled()) throw new TollgateError('KAFKA_UNREACHABLE', `the take-over of partition ${partition} is not wanted any more`)
    const result = await readFrom(reader, offset)
    emptyReads = result.records.length === 0 ? emptyReads + 1 : 0
    for (const record of result.records) {
      if (record.key === `take-over|${partition}` && isOurs(record, takeOverId)) return
      // Awaited only where there is something to wait for: there may be millions.
      const visiting = visit(record)
      if (visiting !== undefined) await visiting
    }
    offset = result.nextOffset
  }
  throw new TollgateError('KAFKA_UNREACHABLE', `the record of our take-over of partition ${partition} can't be seen`)
}

/** @param offset 0: from whatever is the oldest record */
export async function readFrom (reader: PartitionReader, offset: number): ReturnType<PartitionReader['read']> {
  try {
    return await reader.read({ offset, bytesMax: readBytesMax, waitMs })
  } catch (error) {
    // Deleted from its start by somebody; in the middle it would be a part that we had not seen.
    if (!(error instanceof OutOfRangeError) || offset !== 0) throw error
    return await reader.read({ offset: error.startOffset, bytesMax: readBytesMax, waitMs })
  }
}

function isOurs ({ value }: RecordIn, takeOverId: string): boolean { return value?.includes(`"${takeOverId}"`) === true }
