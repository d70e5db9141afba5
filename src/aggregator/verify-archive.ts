// The archive as `verify` and `rebuild` see it: hour by hour, so that memory stays small, and every event exactly once.
import type { SqlConnection } from '../platform/duckdb.ts'
import { archivedEvents, archivedHourSums, archivedPerStream, chainBreaks, chainEnds, differingRepeats, otherLinks } from './verify-sql.ts'
import type { HourSums, VerifyProblem } from './verify.ts'

export interface ArchivedStreamHour { readonly streamId: string, readonly gatewayId: string, readonly hour: number, readonly events: number, readonly eventsAtMark: number }

export interface ArchivedHours {
  /** By stream and hour, `streamId hour`. */
  readonly streams: ReadonlyMap<string, ArchivedStreamHour>
  /** Sums over billable events, by hour. */
  readonly hours: ReadonlyMap<number, HourSums>
  /** Copies that were left out: the same events in another file. */
  readonly repeats: number
  readonly problems: readonly VerifyProblem[]
  /** Hours at which a stream's chain is broken. */
  readonly brokenHours: ReadonlySet<number>
  /** Files of these hours hold copies. */
  readonly repeatedHours: ReadonlySet<number>
}

export interface HourFile { readonly file: string, /** Of the folder that it is in. */ readonly hour: number }

export interface PartRow { readonly [column: string]: unknown, readonly sourcePartition: number, readonly streamId: string, readonly gatewayId: string, readonly hour: number, readonly events: bigint, readonly eventsAtMark: bigint, readonly toHash: bigint, readonly fromHash: bigint }
export interface SumRow extends HourSums { readonly [column: string]: unknown, readonly hour: number }
export interface FolderHour { readonly parts: readonly PartRow[], readonly sums: readonly SumRow[] }

export async function readArchivedHours (reader: SqlConnection, files: readonly HourFile[]): Promise<ArchivedHours> {
  const folders = new Map<number, string[]>()
  for (const { file, hour } of files) folders.set(hour, [...(folders.get(hour) ?? []), file])
  const read = new Map<number, FolderHour>()
  for (const [hour, own] of folders) read.set(hour, await readFolder(reader, own, false))
  const problems: VerifyProblem[] = []
  const repeatedHours = new Set<number>()
  let repeats = 0
  // A chain that doesn't add up has a gap, or copies: where it can be copies, they are left out and it is added up again.
  const suspects = await brokenChains(reader, read)
  for (const [hour, own] of folders) {
    const before = read.get(hour)
    if (own.length === 0 || before?.parts.some(({ sourcePartition, streamId }) => suspects.has(`${sourcePartition} ${streamId}`)) !== true) continue
    const distinct = await readFolder(reader, own, true)
    const copies = eventsOf(before) - eventsOf(distinct)
    if (copies === 0) continue
    repeats += copies
    repeatedHours.add(hour)
    read.set(hour, distinct)
    for (const row of await reader.rows<{ streamId: string, gatewayId: string, hour: number }>(differingRepeats(own))) {
      problems.push({ gatewayId: row.gatewayId, hour: row.hour, problem: `stream ${row.streamId}: events of one identity in the archive differ` })
    }
  }
  const brokenHours = new Set<number>()
  for (const broken of (await brokenChains(reader, read)).values()) problems.push(...await describeBreaks(reader, broken, { files, brokenHours }))
  return { ...addUp([...read.values()]), repeats, problems, brokenHours, repeatedHours }
}

async function readFolder (reader: SqlConnection, files: readonly string[], isDistinct: boolean): Promise<FolderHour> {
  const source = archivedEvents(files, isDistinct)
  return { parts: await reader.rows<PartRow>(archivedPerStream(source)), sums: await reader.rows<SumRow>(archivedHourSums(source)) }
}

export function eventsOf ({ parts }: FolderHour): number { return parts.reduce((sum, { events }) => sum + Number(events), 0) }

export interface Chain { readonly sourcePartition: number, readonly streamId: string, readonly gatewayId: string | null, left: bigint }

/** Chains whose links don't add up from 0 to the last archived seq. */
export async function brokenChains (reader: SqlConnection, read: ReadonlyMap<number, FolderHour>): Promise<Map<string, Chain>> {
  const chains = new Map<string, Chain>()
  const at = (sourcePartition: number, streamId: string, gatewayId: string | null): Chain => {
    const key = `${sourcePartition} ${streamId}`
    const chain = chains.get(key) ?? { sourcePartition, streamId, gatewayId, left: 0n }
    chains.set(key, chain)
    return chain
  }
  for (const row of await reader.rows<{ sourcePartition: number, streamId: string, gatewayId: string | null, endHash: bigint, startHash: bigint }>(chainEnds)) {
    at(row.sourcePartition, row.streamId, row.gatewayId).left += row.startHash - row.endHash
  }
  for (const row of await reader.rows<{ sourcePartition: number, streamId: string, toHash: bigint, fromHash: bigint }>(otherLinks)) {
    at(row.sourcePartition, row.streamId, null).left += row.toHash - row.fromHash
  }
  for (const { parts } of read.values()) {
    for (const part of parts) at(part.sourcePartition, part.streamId, part.gatewayId).left += part.toHash - part.fromHash
  }
  return new Map([...chains].filter(([, { left }]) => left !== 0n))
}

async function describeBreaks (reader: SqlConnection, { sourcePartition, streamId, gatewayId }: Chain, { files, brokenHours }: { readonly files: readonly HourFile[], readonly brokenHours: Set<number> }): Promise<VerifyProblem[]> {
  const breaks = await reader.rows<ChainBreak>(chainBreaks(files.map(({ file }) => file), sourcePartition), [streamId])
  return breakProblems(breaks, { streamId, gatewayId }, brokenHours)
}

/** The seq behind a break, and what stands before it. */
export interface ChainBreak { readonly [column: string]: unknown, readonly before: bigint, readonly prevSeq: bigint, readonly hour: number | null, readonly hourBefore: number | null }

export function breakProblems (breaks: readonly ChainBreak[], { streamId, gatewayId }: { readonly streamId: string, readonly gatewayId: string | null }, brokenHours: Set<number>): VerifyProblem[] {
  const problems: VerifyProblem[] = []
  for (const { before, prevSeq, hour, hourBefore } of breaks) {
    const problem = prevSeq > before
      ? `stream ${streamId}: seqs ${before + 1n} to ${prevSeq} are not in the archive`
      : `stream ${streamId}: what follows seq ${before} in the archive names ${prevSeq} as the one before it`
    // What is missing lies between its neighbours, in time as in the chain.
    const hours = hoursBetween(hourBefore ?? hour, hour ?? hourBefore)
    for (const each of hours) brokenHours.add(each)
    problems.push(...hours.length === 0 ? [{ gatewayId: gatewayId ?? undefined, problem }] : hours.map((each) => ({ gatewayId: gatewayId ?? undefined, hour: each, problem })))
  }
  return problems
}

/** Two days at most are named one by one; a longer break is named at its ends. */
function hoursBetween (from: number | null, to: number | null): number[] {
  if (from === null || to === null) return []
  const [first, last] = [Math.min(from, to), Math.max(from, to)]
  return last - first > 48 ? [first, last] : Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

export function addUp (folders: readonly FolderHour[]): Pick<ArchivedHours, 'streams' | 'hours'> {
  const streams = new Map<string, ArchivedStreamHour>()
  const hours = new Map<number, HourSums>()
  for (const { streamId, gatewayId, hour, events, eventsAtMark } of folders.flatMap(({ parts }) => parts)) {
    const key = `${streamId} ${hour}`
    const before = streams.get(key)
    streams.set(key, { streamId, gatewayId, hour, events: (before?.events ?? 0) + Number(events), eventsAtMark: (before?.eventsAtMark ?? 0) + Number(eventsAtMark) })
  }
  for (const { hour, count, keyedCount, units, requestBytes, responseBytes, errorCount } of folders.flatMap(({ sums }) => sums)) {
    const before = hours.get(hour)
    hours.set(hour, {
      count: count + (before?.count ?? 0n),
      keyedCount: keyedCount + (before?.keyedCount ?? 0n),
      units: units + (before?.units ?? 0n),
      requestBytes: requestBytes + (before?.requestBytes ?? 0n),
      responseBytes: responseBytes + (before?.responseBytes ?? 0n),
      errorCount: errorCount + (before?.errorCount ?? 0n)
    })
  }
  return { streams, hours }
}
