// Records of the topic usage-progress: what aggregators have counted and archived of each stream and partition. A gateway
// trims its journal by `archivedSeq` and sends again from `gapAfter`, or from `appliedSeq`. Source partition p is partition p.
import type { RecordIn, RecordOut } from '../kafka/port.ts'

export interface StreamProgress {
  readonly streamId: string
  readonly partition: number
  readonly appliedSeq: number
  readonly archivedSeq: number
  /** Set while records after it are missing: nothing of the stream is taken until they come. */
  readonly gapAfter?: number
}

export function encodeStreamProgress ({ streamId, partition, appliedSeq, archivedSeq, gapAfter }: StreamProgress): RecordOut {
  return { key: `${streamId}|${partition}`, value: JSON.stringify({ schemaVersion: 1, appliedSeq, archivedSeq, ...(gapAfter === undefined ? {} : { gapAfter }) }) }
}

/** Undefined for a record that is none of ours. */
export function parseStreamProgress ({ key, value }: RecordIn): StreamProgress | undefined {
  const match = /^([0-9a-f-]{36})\|(\d{1,6})$/.exec(key ?? '')
  if (match === null || value === undefined) return undefined
  let parsed: Readonly<Record<string, unknown>>
  try { parsed = JSON.parse(value.toString()) as typeof parsed } catch { return undefined }
  const { appliedSeq, archivedSeq, gapAfter } = (parsed ?? {}) as { readonly appliedSeq?: unknown, readonly archivedSeq?: unknown, readonly gapAfter?: unknown }
  if (!isSeq(appliedSeq) || !isSeq(archivedSeq) || (gapAfter !== undefined && !isSeq(gapAfter))) return undefined
  return { streamId: match[1] as string, partition: Number(match[2]), appliedSeq, archivedSeq, ...(gapAfter === undefined ? {} : { gapAfter }) }
}

function isSeq (value: unknown): value is number { return Number.isSafeInteger(value) && (value as number) >= 0 }
