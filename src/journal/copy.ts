// A copy of a journal while it is being written: everything that is durable at the moment of the call, and nothing beyond, so
// that the copy looks like the journal after a power cut at that moment. Whoever opens it begins a stream of its own.
import { rmSync } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import path from 'node:path'
import { alignedBuffer, openDisk } from './disk.ts'
import type { Disk } from './disk.ts'
import { JournalState } from './memory.ts'
import { parseName, readSegmentHeader, segmentHeaderBytes, segmentName } from './segment.ts'
import type { JournalReaderSpec } from './start.ts'

export interface JournalCopy {
  /** Undefined while it holds nothing. */
  readonly journalId: string | undefined
  readonly segments: number
  readonly bytes: number
}

const pieceBytes = 1024 * 1024

/** Segments that are recycled meanwhile are left out: what they held is counted and archived. Nothing is synced. */
export async function copyJournal ({ folder, disk: kind, state: memory }: JournalReaderSpec, target: string): Promise<JournalCopy> {
  const disk = openDisk(kind)
  const state = new JournalState(memory)
  const end = state.durableEnd
  const piece = alignedBuffer(pieceBytes)
  await mkdir(target, { recursive: true, mode: 0o700 })
  const copied = { journalId: undefined as string | undefined, segments: 0, bytes: 0 }
  for (const segment of segmentsUpTo(disk, folder, end.segment)) {
    const file = path.join(target, segmentName(segment))
    const found = segment < state.oldestSegment ? undefined : await copySegment(disk, { from: path.join(folder, segmentName(segment)), to: file, piece, endBytes: segment === end.segment ? end.offset : Infinity })
    // The journal says so before it touches the file: what was read until now was the segment itself.
    if (found === undefined || segment < state.oldestSegment) {
      rmSync(file, { force: true })
      continue
    }
    copied.journalId ??= found.journalId
    copied.segments++
    copied.bytes += found.bytes
  }
  return copied
}

function segmentsUpTo (disk: Disk, folder: string, last: number): number[] {
  return disk.names(folder).flatMap((name) => { const parsed = parseName(name); return parsed?.kind === 'segment' && parsed.segment <= last ? [parsed.segment] : [] }).sort((a, b) => a - b)
}

interface SegmentCopying { readonly from: string, readonly to: string, readonly piece: Buffer, /** Behind it are zeros in the copy. */ readonly endBytes: number }

/** @returns undefined when it was recycled before it could be opened */
async function copySegment (disk: Disk, { from, to, piece, endBytes }: SegmentCopying): Promise<{ readonly journalId: string | undefined, readonly bytes: number } | undefined> {
  let source
  try { source = disk.open(from, 'read') } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const target = await open(to, 'w', 0o600)
  try {
    const sizeBytes = source.sizeBytes()
    let journalId
    for (let at = 0; at < Math.min(sizeBytes, endBytes); at += pieceBytes) {
      const got = Math.min(source.read(piece, pieceBytes, at), endBytes - at)
      if (at === 0) journalId = readSegmentHeader(piece.subarray(0, segmentHeaderBytes))?.journalId
      if (got > 0) await target.write(piece, 0, got, at)
    }
    await target.truncate(sizeBytes)
    return { journalId, bytes: sizeBytes }
  } finally {
    source.close()
    await target.close()
  }
}
