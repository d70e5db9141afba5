// The shipper at work: one loop reads the journal, one sends each partition's events, one hears what is counted of it, one says
// marks. They meet in Shipping, which decides; all of them go on for ever, whatever Kafka does, until they are stopped.
import { TollgateError } from '../domain/errors.ts'
import type { JournalState } from '../journal/memory.ts'
import type { KafkaClient } from '../kafka/port.ts'
import { sleepMs } from '../platform/clock.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import type { Health, MetricsJson } from '../platform/thread.ts'
import type { UsageTopics } from '../usage-log/kafka-topics.ts'
import { parseStreamProgress } from '../usage-log/usage-progress.ts'
import { Bell } from './bell.ts'
import { ClockSkew } from './clock-skew.ts'
import { KafkaWatch } from './kafka-watch.ts'
import type { KnownGateway } from './known-gateway.ts'
import type { Lane } from './lane.ts'
import { LaneSender } from './lane-sender.ts'
import type { ShipperOptions } from './options.ts'
import { JournalRoom } from './journal-room.ts'
import { shipperMetrics } from './shipper-metrics.ts'
import type { Shipping } from './shipping.ts'
import { StatementSender } from './statement-sender.ts'
import { TopicFollower } from './topic-follower.ts'

export interface ShipperLoopParts {
  readonly shipping: Shipping
  readonly state: JournalState
  readonly kafka: KafkaClient
  readonly topics: UsageTopics
  readonly known: KnownGateway
  readonly options: ShipperOptions
  readonly clock: Clock
  readonly log: Logger
}

/** Between two looks at the journal when nobody rings: what gathers meanwhile goes in one send. */
const lookMs = 50
/** How long somebody who asks for numbers waits for a look. */
const lookMsMax = 1000
const lookAgainMs = 2
const tickMs = 1000
const retryMs = 1000
const helloLookMs = 20
/** So long a known gateway waits for a Kafka that doesn't say that it is away. */
const knownWaitMs = 5000
const msPerS = 1000

export class ShipperLoop {
  readonly #parts: ShipperLoopParts
  readonly #stopping = new AbortController()
  readonly #bell = new Bell()
  readonly #watch: KafkaWatch
  readonly #skew: ClockSkew
  readonly #statements: StatementSender
  readonly #senders = new Map<Lane, LaneSender>()
  readonly #room: JournalRoom
  readonly #running: Promise<void>[] = []
  #onDeath: (error: unknown) => void = () => {}
  #problem: string | undefined
  /** Looks at the journal that came to its end. */
  #looksToEnd = 0
  #tickDueMs = 0

  constructor (parts: ShipperLoopParts) {
    this.#parts = parts
    const { kafka, topics, shipping, known, clock, log, options, state } = parts
    this.#watch = new KafkaWatch(log, clock)
    this.#skew = new ClockSkew(log)
    this.#room = new JournalRoom(state, options)
    this.#statements = new StatementSender({
      kafka, topic: topics.gatewayProgress, gatewayId: options.gatewayId, shipping, known, skew: this.#skew, watch: this.#watch, clock, signal: this.#stopping.signal
    })
  }

  /** @param onDeath called with a programmer's error: the thread must end */
  start (onDeath: (error: unknown) => void): void {
    this.#onDeath = onDeath
    this.#run(this.#read())
  }

  /**
   * Resolves when Kafka has this gateway's hello; or when Kafka is away and the gateway is known to it.
   * @returns when Kafka took it, milliseconds by the broker's clock; undefined without Kafka
   * @throws TollgateError GATEWAY_UNHEARD; KAFKA_DENIED where the gateway is new and may not say its hello
   */
  async hello (): Promise<number | undefined> {
    const { shipping, known, options, clock, log } = this.#parts
    const startMs = clock.monotonicMs()
    const wasKnown = known.isOpen
    let isTold = false
    for (;;) {
      if (shipping.statements.isOwnSaid && this.#statements.ownAppendedMs !== undefined) return this.#statements.ownAppendedMs
      if (this.#watch.denial !== undefined && !wasKnown) throw this.#watch.denial
      const waitedMs = clock.monotonicMs() - startMs
      const isAway = this.#watch.isFailing || waitedMs > knownWaitMs
      if (isAway && wasKnown) {
        log.warn({ gatewayId: options.gatewayId }, 'Kafka does not answer; it knows this gateway, which serves without it: usage stays in the journal')
        return undefined
      }
      if (waitedMs > options.helloTimeoutMs) throw new TollgateError('GATEWAY_UNHEARD', `gateway ${options.gatewayId}: Kafka did not take its hello within ${options.helloTimeoutMs / msPerS} s${this.#watch.reasons(undefined).map((reason) => `: ${reason}`).join('')}`)
      if (isAway && !isTold) {
        log.warn({ gatewayId: options.gatewayId, helloTimeoutMs: options.helloTimeoutMs }, 'this gateway is new: it serves when Kafka has its hello')
        isTold = true
      }
      await sleepMs(helloLookMs)
    }
  }

  health (): Health {
    const { shipping, options } = this.#parts
    const reasons = this.#watch.reasons(this.#room.fullInS)
    if (!shipping.statements.isOwnSaid) reasons.push(`gateway ${options.gatewayId} has not been heard by Kafka yet`)
    if (this.#skew.isLarge) reasons.push(`this machine's clock and the brokers' differ by ${this.#skew.seconds.toFixed(1)} s`)
    if (this.#problem !== undefined) reasons.push(this.#problem)
    // Kafka away is no reason to refuse work: the journal takes it, and says itself when it is full.
    return { isReady: this.#problem === undefined, reasons }
  }

  /** What was durable in the journal when they were asked for is in them, so that a backlog of 0 is one. */
  async metrics (): Promise<MetricsJson> {
    const { shipping, clock } = this.#parts
    await this.#lookToEnd()
    return shipperMetrics({
      shipping, room: this.#room, skew: this.#skew, failures: this.#watch.failures, isFailing: this.#watch.isFailing,
      sends: [...this.#senders.values()].reduce((sum, { sends }) => sum + sends, this.#statements.batches), nowMs: clock.nowMs()
    })
  }

  /** Sends what the journal has, as long as the time for it and Kafka last; what is left is sent after the next start. */
  async stop (): Promise<void> {
    const { shipping, options, clock, log, kafka } = this.#parts
    const startMs = clock.monotonicMs()
    const looksBefore = this.#looksToEnd
    // What the journal wrote last, that its stream has ended, only a look from now on can see.
    const isDone = (): boolean => this.#looksToEnd > looksBefore && shipping.isDrained && !shipping.statements.hasUnsaid && !this.#statements.isSending
    while (!isDone() && !this.#watch.isFailing && this.#problem === undefined && clock.monotonicMs() - startMs < options.drainTimeoutMs) {
      this.#bell.ring()
      this.#statements.bell.ring()
      await sleepMs(helloLookMs)
    }
    const { unsent } = shipping.backlogs()
    if (isDone()) log.info('all that the journal holds has been sent, and that this gateway has ended')
    else log.warn({ events: unsent.events, statements: shipping.statements.waiting }, 'stopped before all was sent: the next start sends the rest')
    this.#stopping.abort()
    await Promise.all(this.#running)
    await kafka.close()
    shipping.close()
  }

  /** Begins now; given up where reading fails, or can't catch up in time. */
  async #lookToEnd (): Promise<void> {
    const { clock } = this.#parts
    const looksBefore = this.#looksToEnd
    const startMs = clock.monotonicMs()
    while (this.#looksToEnd === looksBefore && this.#problem === undefined && !this.#stopping.signal.aborted && clock.monotonicMs() - startMs < lookMsMax) {
      this.#bell.ring()
      await sleepMs(lookAgainMs)
    }
  }

  async #read (): Promise<void> {
    const { signal } = this.#stopping
    const { clock, shipping, log } = this.#parts
    let hasBegun = false
    while (!signal.aborted) {
      let isMore = false
      try {
        isMore = shipping.read(clock.monotonicMs())
        if (!isMore) this.#looksToEnd++
        this.#problem = undefined
      } catch (error) {
        if ((error as { readonly code?: unknown }).code === undefined) throw error
        // Damage, or a disk that fails: what was read goes on, and the journal's next start mends what it can.
        if (this.#problem === undefined) log.error({ error }, 'the journal cannot be read on')
        this.#problem = `the journal cannot be read: ${(error as Error).message}`
        await sleepMs(retryMs, signal).catch(() => undefined)
      }
      if (shipping.isSurveyed && !hasBegun) {
        hasBegun = true
        this.#run(this.#statements.run())
      }
      this.#serveLanes()
      this.#tick()
      if (isMore) await new Promise((resolve) => { setImmediate(resolve) })
      else await this.#bell.sleep(lookMs, signal)
    }
  }

  #serveLanes (): void {
    for (const lane of this.#parts.shipping.lanes.values()) {
      const sender = this.#senders.get(lane) ?? this.#openSender(lane)
      if (!lane.isEmpty) sender.bell.ring()
    }
  }

  #openSender (lane: Lane): LaneSender {
    const { kafka, topics, shipping, clock } = this.#parts
    const { signal } = this.#stopping
    const { partition } = lane
    const follower = new TopicFollower({
      kafka, topic: topics.usageProgress, partition, watch: this.#watch, signal,
      onRecords: (records) => { shipping.take(records.flatMap((record) => parseStreamProgress(record) ?? [])) }
    })
    const sender = new LaneSender({
      kafka, topic: topics.usage, shipping, lane, follower, watch: this.#watch, clock, signal, onRoom: () => { this.#bell.ring() }
    })
    this.#senders.set(lane, sender)
    this.#run(follower.run())
    this.#run(sender.run())
    return sender
  }

  #tick (): void {
    const { clock, shipping } = this.#parts
    const nowMs = clock.monotonicMs()
    if (nowMs < this.#tickDueMs) return
    this.#tickDueMs = nowMs + tickMs
    shipping.tick(nowMs)
    this.#room.look(shipping.survey.byteCount, nowMs)
  }

  #run (loop: Promise<void>): void { this.#running.push(loop.catch((error: unknown) => { this.#onDeath(error) })) }
}
