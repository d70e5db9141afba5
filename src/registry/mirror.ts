// A gateway's copy of the registry in Redis, in the file that its workers read. Redis tells of each change at once; twice a
// second the copy is compared by version, so that a message that was lost is made good. While Redis is away the copy goes on
// serving, for `stalenessMsMax`; what is revoked in it stays revoked whatever becomes of Redis.
//
// A gateway that was never in contact doesn't start: with an empty copy it would take every revoked key for an unknown one,
// which is accepted by default. One that was starts without Redis.
import { statSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import { every, sleepMs, systemClock } from '../platform/clock.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import { metricJson } from '../platform/metrics.ts'
import { RedisLink, isDenied } from '../platform/redis.ts'
import type { RedisOptions } from '../platform/redis.ts'
import type { Health, MetricsJson } from '../platform/thread.ts'
import { contactAgeIn, createContactMemory, markContact } from './contact.ts'
import type { StalenessOptions } from './directory.ts'
import { MirrorRead } from './mirror-read.ts'
import { MirrorStore } from './mirror-store.ts'
import { RegistryCommands, askWithinMs } from './redis-commands.ts'
import { openSqliteStore } from './sqlite-store.ts'

export interface MirrorOptions {
  readonly redis: RedisOptions
  /** The gateway's registry file, and the refusal log beside it. */
  readonly file: string
  readonly refusalFile: string
  readonly stalenessMsMax: number
  readonly clock: Clock
  readonly log: Logger
  /** How often it looks without having been told. */
  readonly sweepMs?: number
}

export interface MirrorHandle {
  readonly name: 'registry mirror'
  /** For the workers' directories. */
  readonly staleness: StalenessOptions
  /** Something was changed: look at once. */
  readonly poke: () => void
  readonly health: () => Promise<Health>
  readonly metrics: () => Promise<MetricsJson>
  readonly stop: () => Promise<void>
}

const sweepMsDefault = 500
/** A gateway without a copy waits so long for Redis, then it gives up. */
const firstContactWithinMs = 10_000
/** One with a copy waits so long, then it serves from that. */
const startWithinMs = 2_000
const pollMs = 10
/** How exact the time of the last contact is over a restart. */
const contactNotedMs = 10_000
/** Without contact for so long health says so. */
const awayAfterMs = 5_000

/** @throws TollgateError REDIS_UNREACHABLE, REDIS_DENIED, REDIS_FAILED, REGISTRY_FOREIGN where there is no copy yet; what the file is refused with */
export async function startMirror (options: MirrorOptions): Promise<MirrorHandle> {
  const mirror = new Mirror(options)
  try {
    await mirror.start()
  } catch (error) {
    await mirror.stop()
    throw error
  }
  return {
    name: 'registry mirror',
    staleness: { contact: mirror.contact, stalenessMsMax: options.stalenessMsMax },
    poke: () => { mirror.poke() },
    health: async () => mirror.health(),
    metrics: async () => mirror.metrics(),
    stop: () => mirror.stop()
  }
}

class Mirror {
  readonly contact = createContactMemory()
  readonly #options: MirrorOptions
  readonly #store: MirrorStore
  readonly #link: RedisLink
  readonly #ear: RedisLink
  readonly #read: MirrorRead
  readonly #ageMs: () => number
  readonly #contactFile: string
  readonly #failures = new Map<string, number>()
  readonly #timer: { readonly cancel: () => void }
  #failure: unknown
  #isConnectionNew = true
  #hasContact = false
  #isWanted = false
  #isStopped = false
  #notedMs = -Infinity
  #looking: Promise<void> | undefined

  constructor (options: MirrorOptions) {
    const { redis, file, refusalFile, clock, log, sweepMs = sweepMsDefault } = options
    this.#options = options
    this.#store = new MirrorStore(openSqliteStore({ file, refusalFile, clock }))
    this.#contactFile = `${file}.contact`
    this.#ageMs = contactAgeIn(this.contact)
    markContact(this.contact, this.#notedAgeMs())
    this.#link = new RedisLink(redis, () => { this.#isConnectionNew = true; this.poke() })
    const commands = new RegistryCommands(this.#link)
    this.#read = new MirrorRead({ store: this.#store, commands, folder: path.dirname(file), clock, log })
    this.#ear = new RedisLink(redis)
    this.#ear.subscribe(`${commands.base}changed`, () => { this.poke() })
    this.#timer = every(sweepMs, () => { this.poke() })
  }

  /** Resolves when everything is here, or when what is here has to do for now. */
  async start (): Promise<void> {
    const isFirst = this.#store.position() === undefined
    const endMs = systemClock.monotonicMs() + (isFirst ? firstContactWithinMs : startWithinMs)
    while (!this.#hasContact) {
      const code = (this.#failure as { readonly code?: unknown } | undefined)?.code
      if (isFirst && (code === 'REGISTRY_FOREIGN' || code === 'REDIS_DENIED')) throw this.#failure as Error
      // A read that is under way gets the time that it needs.
      if (systemClock.monotonicMs() >= endMs && !(isFirst && this.#looking !== undefined && this.#link.isReady)) break
      await sleepMs(pollMs)
    }
    if (!this.#hasContact && isFirst) {
      if (this.#failure !== undefined) throw this.#failure as Error
      throw new TollgateError('REDIS_UNREACHABLE', 'this gateway has no copy of the registry yet, and Redis does not answer')
    }
    if (!this.#hasContact) this.#options.log.warn({ error: this.#failure, ageMs: this.#ageMs() }, 'Redis does not answer: keys are checked against what was last known of them')
  }

  poke (): void {
    this.#isWanted = true
    if (this.#looking === undefined && !this.#isStopped) this.#looking = this.#look().finally(() => { this.#looking = undefined })
  }

  health (): Health {
    const ageMs = this.#ageMs()
    if (ageMs < awayAfterMs) return { isReady: true, reasons: [] }
    const why = this.#failure instanceof Error ? `: ${this.#failure.message}` : ''
    const what = ageMs < this.#options.stalenessMsMax ? 'keys are checked against what was last known of them' : 'keys count as unknown'
    return { isReady: true, reasons: [`no contact with the registry in Redis for ${Math.round(ageMs / 1000)} s, ${what}${why}`] }
  }

  metrics (): MetricsJson {
    return [
      metricJson('tollgate_registry_contact_age_seconds', [{ value: this.#ageMs() / 1000 }]),
      metricJson('tollgate_registry_changes_total', [{ value: this.#read.changes }]),
      metricJson('tollgate_registry_full_reads_total', [{ value: this.#read.fullReads }]),
      metricJson('tollgate_registry_foreign_total', [{ value: this.#read.foreign }]),
      metricJson('tollgate_registry_failures_total', [...this.#failures].map(([code, value]) => ({ labels: { code }, value })))
    ]
  }

  async stop (): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#timer.cancel()
    this.#ear.close()
    this.#link.close()
    await this.#looking
    if (this.#hasContact) this.#note(this.#options.clock.nowMs() - this.#ageMs())
    this.#store.close()
  }

  async #look (): Promise<void> {
    while (this.#isWanted && !this.#isStopped) {
      this.#isWanted = false
      try {
        if (!this.#link.isReady) await this.#link.ready(1)
        const isNew = this.#isConnectionNew
        this.#isConnectionNew = false
        try {
          await this.#read.look(isNew ? await this.#runId() : '', isNew)
        } catch (error) {
          this.#isConnectionNew ||= isNew
          throw error
        }
        this.#succeed()
      } catch (error) {
        // Asked for again by the timer.
        this.#fail(error)
        return
      }
    }
  }

  /** Of the Redis process; '' where our user may not ask. */
  async #runId (): Promise<string> {
    try {
      return /^run_id:(\w+)/m.exec(String(await this.#link.ask(['INFO', 'server'], askWithinMs)))?.[1] ?? ''
    } catch (error) {
      if ((error as { readonly code?: unknown }).code === 'REDIS_DENIED' || isDenied(error)) return ''
      throw error
    }
  }

  #succeed (): void {
    markContact(this.contact, 0)
    if (this.#failure !== undefined) this.#options.log.info('the registry in Redis is in reach again')
    this.#failure = undefined
    this.#hasContact = true
    const nowMs = systemClock.monotonicMs()
    if (nowMs - this.#notedMs < contactNotedMs) return
    this.#notedMs = nowMs
    this.#note(this.#options.clock.nowMs())
  }

  #fail (error: unknown): void {
    if (this.#isStopped) return
    const { code = 'INTERNAL' } = error as { readonly code?: string }
    this.#failures.set(code, (this.#failures.get(code) ?? 0) + 1)
    const isNews = (this.#failure as { readonly code?: string } | undefined)?.code !== code
    this.#failure = error
    if (!isNews) return
    const words = { error, ageMs: this.#ageMs() }
    // Redis comes back by itself; what is wrong in it or with our user doesn't.
    if (code === 'REDIS_UNREACHABLE') this.#options.log.warn(words, 'the registry in Redis is out of reach: keys are checked against what was last known of them')
    else this.#options.log.error(words, 'the registry in Redis can\'t be read: keys are checked against what was last known of them')
  }

  /** The time of the last contact is the time of an empty file: nothing in it can be half written. */
  #note (atMs: number): void {
    const atS = atMs / 1000
    try { utimesSync(this.#contactFile, atS, atS) } catch {
      writeFileSync(this.#contactFile, '', { mode: 0o600 })
      utimesSync(this.#contactFile, atS, atS)
    }
  }

  /** Forever where there was none. */
  #notedAgeMs (): number {
    const notedMs = statSync(this.#contactFile, { throwIfNoEntry: false })?.mtimeMs
    return notedMs === undefined ? Number.MAX_SAFE_INTEGER / 1e6 : Math.max(0, this.#options.clock.nowMs() - notedMs)
  }
}
