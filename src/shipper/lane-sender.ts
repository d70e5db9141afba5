// Sends what is in one lane, one send at a time, as long as its producer lives; then with another one, from the first record
// that nobody has counted. Before that it waits until Kafka has answered somebody: a producer opens no connection by itself.
import type { KafkaClient } from '../kafka/port.ts'
import { sleepMs } from '../platform/clock.ts'
import type { Clock } from '../platform/clock.ts'
import { unlessAborted } from '../platform/unless-aborted.ts'
import { Bell } from './bell.ts'
import type { KafkaWatch } from './kafka-watch.ts'
import type { Lane } from './lane.ts'
import type { Shipping } from './shipping.ts'
import type { TopicFollower } from './topic-follower.ts'

export interface LaneSenderParts {
  readonly kafka: Pick<KafkaClient, 'openPartitionProducer'>
  readonly topic: string
  readonly shipping: Pick<Shipping, 'sent' | 'failed'>
  readonly lane: Lane
  /** Of what is counted in this partition: nothing is sent before it is known. */
  readonly follower: TopicFollower
  readonly watch: KafkaWatch
  readonly clock: Clock
  /** There is room for more. */
  readonly onRoom: () => void
  readonly signal: AbortSignal
}

const idleMs = 1000
const retryMsMin = 500
const retryMsMax = 30_000

export class LaneSender {
  /** Rung when there is something to send. */
  readonly bell = new Bell()
  sends = 0
  readonly #parts: LaneSenderParts
  #retryMs = retryMsMin

  constructor (parts: LaneSenderParts) { this.#parts = parts }

  /** Ends with the signal. */
  async run (): Promise<void> {
    const { follower, lane, signal, clock, watch, shipping, onRoom } = this.#parts
    await unlessAborted(signal, follower.caughtUp)
    while (!signal.aborted) {
      lane.up(clock.monotonicMs())
      onRoom()
      try {
        await this.#sendAll()
      } catch (error) {
        shipping.failed(lane, clock.monotonicMs())
        if (signal.aborted) return
        watch.failed(this.#name, error)
        await sleepMs(this.#retryMs, signal).catch(() => undefined)
        this.#retryMs = Math.min(2 * this.#retryMs, retryMsMax)
        await follower.contact()
      }
    }
  }

  get #name (): string { return `${this.#parts.topic}-${this.#parts.lane.partition}` }

  async #sendAll (): Promise<void> {
    const { kafka, topic, lane, shipping, clock, watch, onRoom, signal } = this.#parts
    const producer = kafka.openPartitionProducer({ topic, partition: lane.partition })
    const close = (): void => { void producer.close() }
    // A send that waits for a Kafka that is away must not hold up a stop.
    signal.addEventListener('abort', close, { once: true })
    try {
      while (!signal.aborted) {
        const parcel = lane.next()
        if (parcel === undefined) { await this.bell.sleep(idleMs, signal); continue }
        await producer.send(parcel.records)
        this.sends++
        this.#retryMs = retryMsMin
        shipping.sent(lane, parcel, clock.monotonicMs())
        watch.worked(this.#name)
        onRoom()
      }
    } finally {
      signal.removeEventListener('abort', close)
      await producer.close()
    }
  }
}
