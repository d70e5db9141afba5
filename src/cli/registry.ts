// `tollgate registry`: a whole registry as a file, and a file into a registry: from one machine to a cluster, or out of a copy.
import { createReadStream } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Config } from '../config/schema.ts'
import { TollgateError } from '../domain/errors.ts'
import { systemClock } from '../platform/clock.ts'
import type { Imported, RecordPage, RegistryRecord } from '../registry/port.ts'
import { readTransferLine, writeTransferFile } from '../registry/transfer-file.ts'
import { configOption, jsonOption } from './arguments.ts'
import type { Arguments } from './arguments.ts'
import { commandGroup, commandOf, configOf, exitCodes, printJson } from './command.ts'
import type { Io } from './io.ts'
import { askTollgate } from './program.ts'

/** What a running program reads of one command is bounded. */
const batchBytesMax = 48 * 1024
const batchRecordsMax = 500
const lineCharactersMax = 8 * 1024
const progressRecords = 10_000

const filePositional = (description: string): { readonly name: string, readonly description: string } => ({ name: 'FILE', description })

const exportRegistry = commandOf({
  name: 'tollgate registry export',
  summary: 'Writes members, keys, revocations, rotations and the numbers given away to a file. It holds no token and no secret.',
  positionals: [filePositional('Where to write; replaced when it is there.')],
  options: { json: jsonOption, config: configOption },
  details: 'NDJSON, a record a line. Changes that are made meanwhile may be missing: revocations made during an export are seen by the next one.'
}, async (given, context) => {
  const config = configOf(given, context)
  const file = fileOf(given)
  const progress = progressOf(context.io, 'written')
  let records: number
  try {
    records = await writeTransferFile(file, systemClock.nowMs(), async (cursor) => await askTollgate<RecordPage>(config, 'registry.export', cursor === undefined ? {} : { cursor }), progress)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EACCES' || code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR' || code === 'ENOSPC' || code === 'EROFS') throw new TollgateError('REGISTRY_FILE_INVALID', `${file} can't be written: ${message}`, { cause: error })
    throw error
  }
  if (given.has('json')) printJson(context, { file, records })
  else context.io.out(`${records} records in ${file}\n`)
  return exitCodes.ok
})

const importRegistry = commandOf({
  name: 'tollgate registry import',
  summary: 'Adds what a file of `tollgate registry export` holds. Doing it again changes nothing; what is revoked stays revoked.',
  positionals: [filePositional('What to read.')],
  options: { json: jsonOption, config: configOption },
  details: 'A member or key that is here as another one stops the import and is named with its line; what stands before it was added.'
}, async (given, context) => {
  const config = configOf(given, context)
  const file = fileOf(given)
  // Read twice: a file that is cut off or damaged is refused before anything of it is added.
  await eachRecord(file, async () => {})
  const total = { added: 0, same: 0 }
  const progress = progressOf(context.io, 'read')
  const batch = new ImportBatch(config, file, (imported) => {
    total.added += imported.added
    total.same += imported.same
    progress(total.added + total.same)
  })
  await eachRecord(file, (record, line) => batch.add(record, line))
  await batch.send()
  if (given.has('json')) printJson(context, { file, ...total })
  else context.io.out(`${total.added} records added, ${total.same} were here already\n`)
  return exitCodes.ok
})

export const registryCommand = commandGroup('tollgate registry', 'The whole registry: members, keys, revocations, rotations and the numbers given away.', {
  export: { summary: 'writes it to a file', command: exportRegistry },
  import: { summary: 'adds what a file holds', command: importRegistry }
})

function fileOf (given: Arguments): string { return path.resolve(given.positionals[0] ?? '') }

/** On standard error, now and then. */
function progressOf (io: Io, what: string): (records: number) => void {
  let told = 0
  return (records) => {
    if (records - told < progressRecords) return
    told = records
    io.error(`${records} records ${what}\n`)
  }
}

class ImportBatch {
  readonly #config: Config
  readonly #file: string
  readonly #onImported: (imported: Imported) => void
  #records: RegistryRecord[] = []
  #lines: number[] = []
  #bytes = 0

  constructor (config: Config, file: string, onImported: (imported: Imported) => void) {
    this.#config = config
    this.#file = file
    this.#onImported = onImported
  }

  async add (record: RegistryRecord, line: number): Promise<void> {
    const bytes = Buffer.byteLength(JSON.stringify(record)) + 1
    if (this.#records.length >= batchRecordsMax || this.#bytes + bytes > batchBytesMax) await this.send()
    this.#records.push(record)
    this.#lines.push(line)
    this.#bytes += bytes
  }

  /** @throws TollgateError for a record that can't be added, with its line */
  async send (): Promise<void> {
    if (this.#records.length === 0) return
    const lines = this.#lines
    const imported = await askTollgate<Imported>(this.#config, 'registry.import', { records: this.#records })
    this.#records = []
    this.#lines = []
    this.#bytes = 0
    this.#onImported(imported)
    const { problem } = imported
    if (problem !== undefined) throw new TollgateError(problem.code, `${this.#file}: line ${lines[problem.index] ?? 0}: ${problem.message}`)
  }
}

/** @throws TollgateError REGISTRY_FILE_INVALID */
async function eachRecord (file: string, take: (record: RegistryRecord, line: number) => Promise<void>): Promise<void> {
  const invalid = (what: string, cause?: unknown): TollgateError => new TollgateError('REGISTRY_FILE_INVALID', `${file}${what}`, { cause })
  let [line, records] = [0, 0]
  let isOver = false
  try {
    for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
      line++
      if (isOver) throw invalid(`: line ${line}: stands behind the end`)
      if (text.length > lineCharactersMax) throw invalid(`: line ${line}: has more than ${lineCharactersMax} characters`)
      const read = readTransferLine(text, line === 1)
      if (read.kind === 'wrong') throw invalid(`: line ${line}: ${read.problem}`)
      if (read.kind === 'record') {
        records++
        await take(read.record, line)
      } else if (read.kind === 'end') {
        if (read.records !== records) throw invalid(`: line ${line}: says that there are ${read.records} records, there are ${records}`)
        isOver = true
      }
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR') throw invalid(` can't be read: ${code}`, error)
    throw error
  }
  if (!isOver) throw invalid(line === 0 ? ' is empty' : `: ends at line ${line} without its last line: it is incomplete`)
}
