// A registry as a file: NDJSON, a header first, a record a line, and a last line that says how many there are, so that a file
// that was cut off is noticed. No token and no secret is in it.
import { closeSync, openSync, writeSync } from 'node:fs'
import { formatTimeMs } from '../domain/window.ts'
import { makeFolderDurable, partialSuffix, publishFile } from '../platform/durable-file.ts'
import path from 'node:path'
import type { RecordPage, RegistryRecord } from './port.ts'
import { readRecord } from './records.ts'

export const transferVersion = 1

/** Complete when it returns. @returns how many records are in it */
export async function writeTransferFile (file: string, nowMs: number, pages: (cursor?: string) => Promise<RecordPage>, onPage: (records: number) => void = () => {}): Promise<number> {
  makeFolderDurable(path.dirname(file))
  const descriptor = openSync(file + partialSuffix, 'w', 0o600)
  let records = 0
  try {
    write(descriptor, [{ tollgate: 'registry', version: transferVersion, exportedAt: formatTimeMs(nowMs) }])
    for (let cursor: string | undefined, isOver = false; !isOver;) {
      const page = await pages(cursor)
      write(descriptor, page.records)
      records += page.records.length
      onPage(records)
      cursor = page.next
      isOver = cursor === undefined
    }
    write(descriptor, [{ kind: 'end', records }])
  } finally { closeSync(descriptor) }
  publishFile(file + partialSuffix, file)
  return records
}

export type TransferLine =
  | { readonly kind: 'header' }
  | { readonly kind: 'record', readonly record: RegistryRecord }
  | { readonly kind: 'end', readonly records: number }
  | { readonly kind: 'wrong', readonly problem: string }

/** @param isFirst the header is expected */
export function readTransferLine (line: string, isFirst: boolean): TransferLine {
  let value: unknown
  try { value = JSON.parse(line) } catch { return { kind: 'wrong', problem: 'is no JSON' } }
  const fields = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>
  if (isFirst) return headerOf(fields)
  if (fields['kind'] === 'end') return Number.isSafeInteger(fields['records']) ? { kind: 'end', records: Number(fields['records']) } : { kind: 'wrong', problem: 'has no good records' }
  const record = readRecord(value)
  return typeof record === 'string' ? { kind: 'wrong', problem: record } : { kind: 'record', record }
}

function headerOf ({ tollgate, version }: Readonly<Record<string, unknown>>): TransferLine {
  if (tollgate !== 'registry') return { kind: 'wrong', problem: 'is not the first line of an exported registry' }
  return version === transferVersion ? { kind: 'header' } : { kind: 'wrong', problem: `has version ${JSON.stringify(version)}, this program knows ${transferVersion}` }
}

function write (descriptor: number, values: readonly unknown[]): void {
  const bytes = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''))
  for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written)
}
