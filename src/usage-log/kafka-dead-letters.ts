// Records that can't be counted, as they stand in the topic of dead letters: the key and the headers that they came with,
// why and from where, and their value, cut to a bound and without any API token.
import type { RecordIn, RecordOut } from '../kafka/port.ts'
import { valueBytesMax } from './kafka-items.ts'

export interface DeadLetter { readonly partition: number, readonly reason: string, readonly record: Pick<RecordIn, 'offset' | 'key' | 'value' | 'headers'> }

const headerBytesMax = 1024
const headersMax = 32

export function encodeDeadLetter ({ partition, reason, record }: DeadLetter): RecordOut {
  const { offset, key, value, headers } = record
  // A foreign record's headers have no bound of their own.
  const kept = [...headers].slice(0, headersMax).map(([name, text]) => [cut(name), cut(text)])
  return {
    key: cut(key ?? ''),
    value: value === undefined ? '' : withoutToken(value.toString('utf8', 0, valueBytesMax)),
    headers: { ...Object.fromEntries(kept) as Record<string, string>, reason: cut(reason), sourcePartition: String(partition), sourceOffset: String(offset) }
  }
}

function cut (text: string): string { return text.slice(0, headerBytesMax) }

/** Others have published the whole API token in `apiKey`. It opens doors, so it is not kept, however broken the line is. */
export function withoutToken (line: string): string {
  return line.replace(/"apiKey"\s*:\s*"(?:[^"\\]|\\.)*"?/g, '"apiKey":"(removed)"')
}

const reasonClasses = { 'no-identity': 'no-identity', line: 'malformed', record: 'record', identity: 'identity' } as const

/** Reasons by class, for a metric: their texts have no bound. */
export function reasonClassOf (reason: string): string {
  if (/^requestTime: (?:before|more)/.test(reason)) return 'time'
  const [subject = ''] = reason.split(':')
  return Object.hasOwn(reasonClasses, subject) ? reasonClasses[subject as keyof typeof reasonClasses] : 'field'
}
