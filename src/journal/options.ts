// What a journal is opened with: plain values, so that they cross threads, and how they must fit together.
import { chainBytesMax } from './chain-text.ts'
import { headerBytesFor, partitionsMax } from './frame.ts'
import type { Ack } from './handover.ts'
import { segmentBytesMax } from './memory.ts'
import { statementBytesMax } from './writer.ts'

export interface JournalOptions {
  readonly folder: string
  readonly gatewayId: string
  /** The program's version: said in each stream's first frame. */
  readonly build: string
  /** Of the streams begun from now on. */
  readonly partitions: number
  readonly segmentBytes: number
  /** Bound of all segment files together. */
  readonly bytesMax: number
  /** No new segment is made when it would leave the disk less than this. */
  readonly diskFreeBytesMin: number
  /** Events of one frame. */
  readonly commitBytesMax: number
  readonly refusedBytesMax: number
  /** Requests in flight of all workers: room for the event of each is kept. */
  readonly inFlightMax: number
  /** The longest event that a worker may offer. */
  readonly eventBytesMax: number
  readonly ack: Ack
  readonly bufferedIntervalMs: number
  readonly markIntervalMs: number
}

/** The largest block of a disk: what sizes must be multiples of, so that a journal can move from disk to disk. */
const sizeUnitBytes = 4096
const segmentsMin = 3

/** The frame that one event of the largest size takes. */
export function frameBytesFor ({ partitions, eventBytesMax }: Pick<JournalOptions, 'partitions' | 'eventBytesMax'>, blockBytes: number): number {
  return Math.ceil((headerBytesFor(partitions) + eventBytesMax + chainBytesMax) / blockBytes) * blockBytes
}

/** Room that is kept free: each request in flight may come to need a frame of its own, and a segment's end may be left over. */
export function reserveBytesFor (options: JournalOptions, blockBytes: number): number {
  return options.inFlightMax * frameBytesFor(options, blockBytes) + options.segmentBytes
}

/** @throws RangeError with a sentence why */
export function checkJournalOptions (options: JournalOptions, blockBytes: number): void {
  const { segmentBytes, bytesMax, commitBytesMax, eventBytesMax, partitions } = options
  const segments = Math.floor(bytesMax / segmentBytes)
  const problems: readonly (readonly [boolean, string])[] = [
    [segmentBytes % sizeUnitBytes !== 0 || segmentBytes > segmentBytesMax, `a segment of ${segmentBytes} bytes: want a multiple of ${sizeUnitBytes}, at most ${segmentBytesMax}`],
    [segmentBytes < 2 * statementBytesMax, `a segment of ${segmentBytes} bytes can't hold two marks of ${statementBytesMax}`],
    [commitBytesMax < eventBytesMax + chainBytesMax, `a commit of ${commitBytesMax} bytes can't hold the longest event`],
    [frameBytesFor(options, blockBytes) > segmentBytes - sizeUnitBytes, `a segment of ${segmentBytes} bytes can't hold the longest event`],
    [partitions < 1 || partitions > partitionsMax, `${partitions} partitions: want 1 to ${partitionsMax}`],
    [segments < segmentsMin, `${bytesMax} bytes are less than ${segmentsMin} segments`],
    [segments * segmentBytes < reserveBytesFor(options, blockBytes) + 2 * segmentBytes, `${bytesMax} bytes leave no room beside what ${options.inFlightMax} requests in flight may need (${reserveBytesFor(options, blockBytes)} bytes)`]
  ]
  const problem = problems.find(([isWrong]) => isWrong)
  if (problem !== undefined) throw new RangeError(`journal: ${problem[1]}`)
}
