// The audit log: every change that somebody asks for, with who, what, when and from where, before it is made and again when it
// is done or has failed. A file of JSON lines that only grows; a change that can't be written down is not made.
import { closeSync, fdatasyncSync, fstatSync, mkdirSync, openSync, readSync, renameSync, writeSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import { formatTimeMs } from '../domain/window.ts'
import type { Clock } from '../platform/clock.ts'
import type { ControlHandlers } from './control-server.ts'

export interface Actor {
  /** The name of a token, or `local` for whoever may open the state folder. */
  readonly who: string
  /** An address, or `socket`, `command line` or `signal`. */
  readonly from: string
}

/** Commands that change nothing. */
const reading: ReadonlySet<string> = new Set(['member.list', 'key.list', 'key.show', 'registry.export', 'bill', 'bill.members', 'verify', 'gateway.list', 'aggregator.status', 'backup.drop'])
/** Of a result: what says which thing was changed. Never a token. */
const shownFields = ['memberId', 'apiKeyId', 'gatewayId', 'hour', 'added', 'same', 'changed', 'needsRestart'] as const
const argumentCharactersMax = 2_000
/** A file that is longer gets the time into its name, and another one begins. None is ever removed. */
const fileBytesMax = 16 * 2 ** 20

export class AuditLog {
  readonly #file: string
  readonly #clock: Clock

  constructor (file: string, clock: Clock) {
    this.#file = file
    this.#clock = clock
  }

  /** The same handlers, with every change that `actor` makes through them written down. */
  watch (handlers: ControlHandlers, actor: Actor): ControlHandlers {
    return Object.fromEntries(Object.entries(handlers).map(([command, handler]) => [command, reading.has(command) ? handler : this.#watched(command, handler, actor)]))
  }

  #watched (command: string, handler: ControlHandlers[string], actor: Actor): ControlHandlers[string] {
    return async (argument) => {
      const id = randomUUID()
      this.#append({ id, ...actor, command, argument: shortened(argument) })
      let result
      try {
        result = await handler(argument)
      } catch (error) {
        this.#append({ id, failed: (error as { readonly code?: unknown }).code ?? 'error' })
        throw error
      }
      this.#append({ id, done: shownOf(result) })
      return result
    }
  }

  /** @throws TollgateError STATE_UNWRITABLE */
  #append (entry: object): void {
    const nowMs = this.#clock.nowMs()
    try {
      mkdirSync(path.dirname(this.#file), { recursive: true, mode: 0o700 })
      const descriptor = openSync(this.#file, 'a+', 0o600)
      try {
        const { size } = fstatSync(descriptor)
        // A line that a crash has cut short must not swallow this one.
        const start = size > 0 && !endsLine(descriptor, size) ? '\n' : ''
        writeWhole(descriptor, Buffer.from(`${start}${JSON.stringify({ at: formatTimeMs(nowMs), ...entry })}\n`))
        fdatasyncSync(descriptor)
        if (size > fileBytesMax) renameSync(this.#file, this.#file.replace(/\.ndjson$/, `-${formatTimeMs(nowMs).replaceAll(/[-:.]/g, '')}.ndjson`))
      } finally {
        closeSync(descriptor)
      }
    } catch (error) {
      throw new TollgateError('STATE_UNWRITABLE', `${this.#file} can't be written, and no change is made that isn't written down: ${(error as Error).message}`, { cause: error })
    }
  }
}

function endsLine (descriptor: number, size: number): boolean {
  const last = Buffer.alloc(1)
  readSync(descriptor, last, 0, 1, size - 1)
  return last[0] === 0x0a
}

function writeWhole (descriptor: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written)
}

/** As it was sent, where that is short; else its beginning, as text. */
function shortened (argument: unknown): unknown {
  const text = JSON.stringify(argument) ?? 'null'
  return text.length <= argumentCharactersMax ? argument ?? null : `${text.slice(0, argumentCharactersMax)}…`
}

function shownOf (result: unknown): unknown {
  if (typeof result !== 'object' || result === null) return null
  return Object.fromEntries(shownFields.filter((field) => Object.hasOwn(result, field)).map((field) => [field, (result as Readonly<Record<string, unknown>>)[field]]))
}
