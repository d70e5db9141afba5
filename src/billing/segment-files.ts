// Files of closed segments, brought from whichever aggregator has one and kept beside the ledger: a ledger that is lost is
// made again from them and the topic.
import { existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import type { ClosedValue } from '../hourly-log/kafka-record.ts'
import { makeFolderDurable, sha256OfFile } from '../platform/durable-file.ts'
import type { AggregatorFiles } from './aggregator-files.ts'

export interface SegmentFiles {
  /** @returns where it is, with the hash that was closed. @throws TollgateError SEGMENT_UNAVAILABLE */
  readonly bring: (partition: number, closed: ClosedValue) => Promise<string>
  /** Files that nobody could give when they were last asked for. */
  readonly missing: () => readonly string[]
}

export function openSegmentFiles (folder: string, aggregators: readonly AggregatorFiles[]): SegmentFiles {
  const missing = new Map<number, string>()
  const isHere = async (file: string, sha256: string): Promise<boolean> => {
    if (!existsSync(file)) return false
    if (await sha256OfFile(file) === sha256) return true
    rmSync(file)
    return false
  }
  return {
    missing: () => [...missing.values()],
    bring: async (partition, { file: name, sha256, bytes }) => {
      const file = path.join(folder, name)
      if (!await isHere(file, sha256)) {
        makeFolderDurable(folder)
        const refusals = await bringFrom(aggregators, `/files/partition-${partition}/segment/${encodeURIComponent(name)}`, { file, sha256, bytesMax: bytes })
        if (refusals !== undefined) {
          missing.set(partition, name)
          throw new TollgateError('SEGMENT_UNAVAILABLE', `closed segment ${name} of partition ${partition}: ${refusals.length === 0 ? '`aggregators` names nobody to ask' : refusals.join('; ')}`)
        }
      }
      missing.delete(partition)
      return file
    }
  }
}

/** @returns undefined when somebody had it, else why each one had not */
export async function bringFrom (aggregators: readonly AggregatorFiles[], from: string, wanted: Parameters<AggregatorFiles['download']>[1]): Promise<readonly string[] | undefined> {
  const refusals: string[] = []
  for (const aggregator of aggregators) {
    try {
      const result = await aggregator.download(from, wanted)
      if (result === 'whole') return undefined
      refusals.push(`${aggregator.url} ${result === 'absent' ? 'doesn\'t have it' : 'has another file of this name'}`)
    } catch (error) {
      refusals.push((error as Error).message)
    }
  }
  return refusals
}
