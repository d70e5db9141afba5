// What a registry must never forget, even when its database is restored from an old copy or emptied: which keys are
// revoked, which tokens were rotated out, and which ids were given away. An append-only file beside the database, one JSON
// object a line, on disk before the database learns of it; merged into the database at each start.
//
// Ids count because a token outlives its registry: a new member or key must never get the id that somebody's token names.
import { closeSync, fstatSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, statSync, truncateSync, writeSync } from 'node:fs'
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import { syncFolder, writeFileDurable } from '../platform/durable-file.ts'
import { rotationsWith } from './key-state.ts'
import type { Rotation } from './key-state.ts'

export type RefusalEntry =
  | { readonly kind: 'revoked', readonly apiKeyId: number, readonly revokedAtMs: number }
  | { readonly kind: 'rotated', readonly apiKeyId: number, readonly issuedFromS: number, readonly overlapUntilMs: number }
  | { readonly kind: 'issued', readonly memberId: number }
  | { readonly kind: 'issued', readonly apiKeyId: number }

export interface RefusalFacts {
  readonly revokedAtMs: ReadonlyMap<number, number>
  readonly rotations: ReadonlyMap<number, readonly Rotation[]>
  /** The highest ids ever given away; 0 for none. */
  readonly memberIdMax: number
  readonly apiKeyIdMax: number
}

export interface RefusalLog {
  readonly facts: () => RefusalFacts
  /** Durable when it returns. */
  readonly append: (entries: readonly RefusalEntry[]) => void
  readonly close: () => void
}

/** About 3 million entries; a larger file is none of ours. */
const fileBytesMax = 256 * 1024 * 1024
/** Rewritten at a start when more than half of its lines, and more than these, say nothing new. */
const spareLinesMax = 10_000

/** @throws TollgateError REFUSALS_CORRUPT, STATE_UNWRITABLE; from `append` REGISTRY_UNREADABLE, and nothing was added */
export function openRefusalLog (file: string): RefusalLog {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
  const { facts, lines } = readRefusals(file)
  const live = entriesOf(facts)
  if (lines > live.length * 2 && lines - live.length > spareLinesMax) opening(file, () => { writeFileDurable(file, linesOf(live)) })
  const descriptor = opening(file, () => openSync(file, 'a', 0o600))
  syncFolder(path.dirname(file))
  return {
    facts: () => facts,
    append: (entries) => {
      if (entries.length === 0) return
      appendWhole(file, descriptor, entries)
      for (const entry of entries) apply(facts, entry)
    },
    close: () => { closeSync(descriptor) }
  }
}

/** Numbers that are passed over, so that who comes after a time of which nothing is known gives none of its numbers away again. */
const numbersPassedOver = 100_000

/** For a registry that was put back from a copy: a token that was signed since may still be out there. */
export function passOverNumbers (file: string): void {
  const log = openRefusalLog(file)
  try {
    const { memberIdMax, apiKeyIdMax } = log.facts()
    log.append([{ kind: 'issued', memberId: memberIdMax + numbersPassedOver }, { kind: 'issued', apiKeyId: apiKeyIdMax + numbersPassedOver }])
  } finally { log.close() }
}

interface MutableFacts {
  readonly revokedAtMs: Map<number, number>
  readonly rotations: Map<number, readonly Rotation[]>
  memberIdMax: number
  apiKeyIdMax: number
}

function apply (facts: MutableFacts, entry: RefusalEntry): void {
  switch (entry.kind) {
    case 'revoked':
      if (!facts.revokedAtMs.has(entry.apiKeyId)) facts.revokedAtMs.set(entry.apiKeyId, entry.revokedAtMs)
      break
    case 'rotated':
      facts.rotations.set(entry.apiKeyId, rotationsWith(facts.rotations.get(entry.apiKeyId) ?? [], entry, 0))
      break
    case 'issued':
      if ('memberId' in entry) facts.memberIdMax = Math.max(facts.memberIdMax, entry.memberId)
      else facts.apiKeyIdMax = Math.max(facts.apiKeyIdMax, entry.apiKeyId)
  }
}

function entriesOf (facts: MutableFacts): RefusalEntry[] {
  return [
    { kind: 'issued', memberId: facts.memberIdMax },
    { kind: 'issued', apiKeyId: facts.apiKeyIdMax },
    ...[...facts.revokedAtMs].map(([apiKeyId, revokedAtMs]) => ({ kind: 'revoked', apiKeyId, revokedAtMs } as const)),
    ...[...facts.rotations].flatMap(([apiKeyId, rotations]) => rotations.map(({ issuedFromS, overlapUntilMs }) => ({ kind: 'rotated', apiKeyId, issuedFromS, overlapUntilMs } as const)))
  ]
}

function readRefusals (file: string): { readonly facts: MutableFacts, readonly lines: number } {
  const facts: MutableFacts = { revokedAtMs: new Map(), rotations: new Map(), memberIdMax: 0, apiKeyIdMax: 0 }
  const { size } = statSync(file, { throwIfNoEntry: false }) ?? { size: 0 }
  if (size > fileBytesMax) throw new TollgateError('REFUSALS_CORRUPT', `${file} has ${size} bytes, at most ${fileBytesMax} are read`)
  if (size === 0) return { facts, lines: 0 }
  const bytes = opening(file, () => readFileSync(file))
  // A last line without its end was never durable as a whole, so its command was never answered.
  const whole = bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1)
  if (whole.length < bytes.length) truncateSync(file, whole.length)
  let lines = 0
  for (const line of whole.toString('utf8').split('\n').slice(0, -1)) {
    lines++
    const entry = parseEntry(line)
    if (entry === undefined) throw new TollgateError('REFUSALS_CORRUPT', `${file}: line ${lines} can't be read`)
    apply(facts, entry)
  }
  return { facts, lines }
}

function parseEntry (line: string): RefusalEntry | undefined {
  let value: Readonly<Record<string, unknown>>
  try {
    value = JSON.parse(line) as typeof value
  } catch {
    return undefined
  }
  const isWhole = (...names: string[]): boolean => names.every((name) => Number.isSafeInteger(value[name]) && (value[name] as number) >= 0)
  const isEntry = value !== null && (
    (value['kind'] === 'revoked' && isWhole('apiKeyId', 'revokedAtMs')) ||
    (value['kind'] === 'rotated' && isWhole('apiKeyId', 'issuedFromS', 'overlapUntilMs')) ||
    (value['kind'] === 'issued' && (isWhole('memberId') || isWhole('apiKeyId'))))
  return isEntry ? value as unknown as RefusalEntry : undefined
}

/** All or nothing: half a line would make the next one unreadable too. */
function appendWhole (file: string, descriptor: number, entries: readonly RefusalEntry[]): void {
  const { size } = fstatSync(descriptor)
  const bytes = Buffer.from(linesOf(entries))
  try {
    for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written)
    fsyncSync(descriptor)
  } catch (error) {
    ftruncateSync(descriptor, size)
    throw new TollgateError('REGISTRY_UNREADABLE', `${file} can't be written: ${(error as Error).message}`, { cause: error })
  }
}

function linesOf (entries: readonly RefusalEntry[]): string { return entries.map((entry) => `${JSON.stringify(entry)}\n`).join('') }

function opening<Result> (file: string, action: () => Result): Result {
  try {
    return action()
  } catch (error) {
    throw new TollgateError('STATE_UNWRITABLE', `${file} can't be opened: ${(error as Error).message}`, { cause: error })
  }
}
