// Questions to Redis about buckets: those of one turn of the loop go together, each has its answer within the budget, and
// when that fails nothing more is sent until Redis has answered in time again, twice, to questions of our own.
import { after, every, systemClock } from '../platform/clock.ts'
import type { Timer } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import { ErrorReply, RedisLink, isDenied } from '../platform/redis.ts'
import type { RedisOptions, RedisReply } from '../platform/redis.ts'
import { bucketKey, scriptAnswer, scriptHash } from './redis-script.ts'

export type TripFailure = 'timeout' | 'unreachable' | 'error'

/** One bucket's part of a question. One of the three is called, once. */
export interface Ask {
  readonly key: string
  /** Of the script. */
  readonly arguments: readonly string[]
  readonly onAnswer: (isAllowed: boolean, aheadNs: bigint) => void
  /** The bucket holds something else. */
  readonly onForeign: () => void
  /** Not in time. Redis may have carried it out nevertheless: then the bucket is poorer than it must be, never richer. */
  readonly onUnanswered: () => void
}

export interface BucketTripsOptions {
  readonly redis: RedisOptions
  readonly budgetMs: number
  readonly script: string
  /** The longest burst, as the script reads it. */
  readonly longest: () => readonly [string, string]
  readonly log: Logger
  /** Takes decided locally so far. */
  readonly takenLocally: () => number
  readonly onFailure: (failure: TripFailure) => void
}

interface Trip { readonly asks: readonly Ask[], timer: Timer | undefined, isOver: boolean }

const bucketsMax = 256
const probePeriodMs = 200
const probesInTime = 2
/** Workers start one after the other. */
const openWithinMs = 500
/** Of the question that is asked in local mode: a bucket of nobody's that is full again at once. It writes, as takes do. */
const probeArguments = ['0', '1', '1', '0'] as const

export class BucketTrips {
  /** Decided without Redis. */
  isLocal = true
  /** Questions that were sent. */
  count = 0
  readonly #options: BucketTripsOptions
  readonly #link: RedisLink
  readonly #hash: string
  readonly #probeKey: string
  #asks: Ask[] = []
  readonly #trips = new Set<Trip>()
  #isScheduled = false
  #isProbing = false
  #goodProbes = 0
  #localSinceMs = 0
  #localCountBefore = 0
  readonly #probes: Timer
  readonly #flush = (): void => { this.#send() }

  constructor (options: BucketTripsOptions) {
    this.#options = options
    this.#hash = scriptHash(options.script)
    this.#probeKey = bucketKey(options.redis.keyPrefix, 'probe')
    this.#link = new RedisLink(options.redis)
    this.#probes = every(probePeriodMs, () => { if (this.isLocal) void this.#probe() })
  }

  async begin (): Promise<void> {
    try {
      await this.#link.ready(openWithinMs)
      await this.#link.ask(this.#command([this.#probeKey], probeArguments, 'EVAL'), openWithinMs)
      this.isLocal = false
    } catch (error) {
      this.#warn('unreachable', error)
    }
  }

  add (ask: Ask): void {
    this.#asks.push(ask)
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(this.#flush)
  }

  close (): void {
    this.#probes.cancel()
    this.#giveUp()
    this.#link.close()
  }

  #send (): void {
    this.#isScheduled = false
    const asks = this.#asks
    this.#asks = []
    if (this.isLocal) { for (const ask of asks) ask.onUnanswered(); return }
    for (let from = 0; from < asks.length; from += bucketsMax) this.#depart(asks.length <= bucketsMax ? asks : asks.slice(from, from + bucketsMax))
  }

  #depart (asks: readonly Ask[]): void {
    const trip: Trip = { asks, timer: undefined, isOver: false }
    this.#trips.add(trip)
    this.count++
    // The answer may be here already and wait behind this timer: one more turn of the loop reads it.
    trip.timer = after(this.#options.budgetMs, () => { setImmediate(() => { if (!trip.isOver) this.#fail('timeout', undefined) }) })
    this.#run(asks.map(({ key }) => key), asks.flatMap((ask) => ask.arguments)).then(
      (reply) => { this.#arrive(trip, reply) },
      (error: unknown) => { if (!trip.isOver) this.#fail(error instanceof ErrorReply ? 'error' : 'unreachable', error) }
    )
  }

  #arrive (trip: Trip, reply: RedisReply): void {
    if (trip.isOver) return
    this.#end(trip)
    const numbers = reply as readonly number[]
    trip.asks.forEach((ask, index) => {
      const answer = scriptAnswer(numbers[index * 2] ?? -1, numbers[index * 2 + 1] ?? 0)
      if (answer === undefined) ask.onForeign()
      else ask.onAnswer(answer.isAllowed, answer.aheadNs)
    })
  }

  #end (trip: Trip): void {
    trip.isOver = true
    trip.timer?.cancel()
    this.#trips.delete(trip)
  }

  #fail (failure: TripFailure, error: unknown): void {
    this.#options.onFailure(failure)
    if (!this.isLocal) {
      this.isLocal = true
      this.#warn(failure, error)
    }
    this.#giveUp()
  }

  /** Everybody who waits is answered without Redis. */
  #giveUp (): void {
    for (const trip of [...this.#trips]) {
      this.#end(trip)
      for (const ask of trip.asks) ask.onUnanswered()
    }
  }

  #warn (failure: TripFailure, error: unknown): void {
    this.#localSinceMs = systemClock.monotonicMs()
    this.#localCountBefore = this.#options.takenLocally()
    this.#goodProbes = 0
    const words = { failure, budgetMs: this.#options.budgetMs, ...(error === undefined ? {} : { error }) }
    // Of a wrong password nobody recovers by waiting.
    if (isDenied(error) || (error as { readonly code?: string } | undefined)?.code === 'REDIS_DENIED') this.#options.log.error(words, 'Redis refuses us: this worker limits with its share of the rate until that is corrected')
    else this.#options.log.warn(words, 'Redis does not answer in time: this worker limits with its share of the rate until it does')
  }

  async #probe (): Promise<void> {
    if (this.#isProbing || !this.#link.isReady) return
    this.#isProbing = true
    const startMs = systemClock.monotonicMs()
    try {
      await this.#run([this.#probeKey], probeArguments)
      this.#goodProbes = systemClock.monotonicMs() - startMs <= this.#options.budgetMs ? this.#goodProbes + 1 : 0
      if (this.#goodProbes >= probesInTime && this.isLocal) this.#recover()
    } catch {
      this.#goodProbes = 0
    } finally {
      this.#isProbing = false
    }
  }

  #recover (): void {
    this.isLocal = false
    this.#goodProbes = 0
    this.#options.log.info({ localMs: Math.round(systemClock.monotonicMs() - this.#localSinceMs), localTakes: this.#options.takenLocally() - this.#localCountBefore }, 'Redis answers in time again: its buckets count')
  }

  /** A server that was started anew doesn't know the script: it is sent along then. */
  async #run (keys: readonly string[], values: readonly string[]): Promise<RedisReply> {
    try {
      return await this.#link.send(this.#command(keys, values, 'EVALSHA'))
    } catch (error) {
      if (!(error instanceof ErrorReply) || !error.message.startsWith('NOSCRIPT')) throw error
      return await this.#link.send(this.#command(keys, values, 'EVAL'))
    }
  }

  #command (keys: readonly string[], values: readonly string[], verb: 'EVAL' | 'EVALSHA'): string[] {
    return [verb, verb === 'EVAL' ? this.#options.script : this.#hash, String(keys.length), ...keys, ...this.#options.longest(), ...values]
  }
}
