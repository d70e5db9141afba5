// Whether Kafka does what is asked of it, told once: a warning when it begins to fail, an error when a right is missing, a line when all works again. Several
// loops ask Kafka for different things; as long as one of them fails, it fails.
import { TollgateError, remedyOf } from '../domain/errors.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'

const msPerS = 1000
const sPerHour = 3600

export class KafkaWatch {
  /** Requests that failed. */
  failures = 0
  readonly #log: Logger
  readonly #clock: Clock
  readonly #failing = new Map<string, unknown>()
  #sinceMs: number | undefined

  constructor (log: Logger, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  get isFailing (): boolean { return this.#sinceMs !== undefined }
  /** A failure that no waiting mends. */
  get denial (): TollgateError | undefined { return [...this.#failing.values()].find(isDenial) }

  /** @param part what was tried, such as `partition 3` */
  failed (part: string, error: unknown): void {
    const isKnown = isDenial(this.#failing.get(part))
    const isFirst = !this.isFailing
    this.failures++
    this.#failing.set(part, error)
    this.#sinceMs ??= this.#clock.monotonicMs()
    if (isDenial(error)) {
      if (!isKnown) this.#log.error({ error, part, remedy: remedyOf(error.code) }, 'Kafka denies what a gateway needs: usage stays in the journal until it is allowed')
    } else if (isFirst) this.#log.warn({ error, part }, 'Kafka does not answer as it should: usage stays in the journal until it does, nothing is lost')
  }

  worked (part: string): void {
    if (!this.#failing.delete(part) || this.#failing.size > 0 || this.#sinceMs === undefined) return
    this.#log.info({ seconds: this.#forS() }, 'Kafka answers again: what is in the journal is sent')
    this.#sinceMs = undefined
  }

  /** @param fullInS seconds until the journal is full; undefined when nothing comes in */
  reasons (fullInS: number | undefined): string[] {
    if (this.#sinceMs === undefined) return []
    const [part, error] = [...this.#failing][0] ?? ['', '']
    const message = error instanceof Error ? error.message : String(error)
    const room = fullInS === undefined ? '' : `; the journal is full in about ${hours(fullInS)} at this rate`
    return [`Kafka has failed for ${this.#forS()} s (${part}: ${message})${room}`]
  }

  #forS (): number { return Math.round((this.#clock.monotonicMs() - (this.#sinceMs ?? 0)) / msPerS) }
}

function isDenial (error: unknown): error is TollgateError { return error instanceof TollgateError && error.code === 'KAFKA_DENIED' }

function hours (seconds: number): string {
  const value = seconds / sPerHour
  return value < 10 ? `${value.toFixed(1)} h` : `${Math.round(value)} h`
}
