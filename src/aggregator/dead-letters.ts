// What could not be counted is kept, with the reason, where a person can read it: one NDJSON file a day, durable before
// the transaction that counts it. A crash in between writes it twice; (streamId, seq) tells.
import path from 'node:path'
import { formatDate, formatTimeMs, hourOf } from '../domain/window.ts'
import { appendLinesDurable } from '../platform/durable-file.ts'
import { withoutToken } from '../usage-log/kafka-dead-letters.ts'
import type { BadLine } from './ingest.ts'

/** A line is kept up to here; the rest of a longer one is of no help to anybody. */
const lineCharactersMax = 65_536

export function writeDeadLetters (folder: string, badLines: readonly BadLine[], nowMs: number): void {
  if (badLines.length === 0) return
  const lines = badLines.map(({ streamId, seq, prevSeq, gatewayId, reason, text, origin }) => JSON.stringify({
    at: formatTimeMs(nowMs), gatewayId, streamId, seq, prevSeq, reason, line: withoutToken(origin?.value?.toString('utf8', 0, lineCharactersMax) ?? text).slice(0, lineCharactersMax)
  }))
  appendLinesDurable(path.join(folder, `${formatDate(hourOf(nowMs))}.ndjson`), lines)
}
