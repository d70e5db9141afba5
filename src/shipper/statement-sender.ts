// Says marks and hours on the topic gateway-progress, hello first, and listens there for what the topic has of our streams.
import type { KafkaClient, PartitionProducer, RecordIn } from '../kafka/port.ts'
import { sleepMs } from '../platform/clock.ts'
import type { Clock } from '../platform/clock.ts'
import { parseGatewayStatement } from '../usage-log/gateway-progress.ts'
import { Bell } from './bell.ts'
import type { ClockSkew } from './clock-skew.ts'
import type { KafkaWatch } from './kafka-watch.ts'
import type { KnownGateway } from './known-gateway.ts'
import type { Shipping } from './shipping.ts'
import type { StatementBatch } from './statements.ts'
import { TopicFollower } from './topic-follower.ts'

export interface StatementSenderParts {
  readonly kafka: Pick<KafkaClient, 'openPartitionProducer' | 'openPartitionReader'>
  readonly topic: string
  readonly gatewayId: string
  readonly shipping: Shipping
  readonly known: KnownGateway
  readonly skew: ClockSkew
  readonly watch: KafkaWatch
  readonly clock: Clock
  readonly signal: AbortSignal
}

const partition = 0
const recordsMax = 500
/** The journal has a mark a second. */
const intervalMs = 1000
const retryMs = 1000

export class StatementSender {
  /** Rung when something is to be said at once. */
  readonly bell = new Bell()
  batches = 0
  /** A batch is on its way. */
  isSending = false
  /** When the broker took the newest mark of our own newest stream that the topic has shown us, by the broker's clock. */
  ownAppendedMs: number | undefined
  readonly #parts: StatementSenderParts
  readonly #follower: TopicFollower
  #producer: PartitionProducer | undefined

  constructor (parts: StatementSenderParts) {
    this.#parts = parts
    this.#follower = new TopicFollower({ ...parts, partition, onRecords: (records) => { this.#heard(records) } })
  }

  /** Ends with the signal. */
  async run (): Promise<void> {
    const { signal } = this.#parts
    const following = this.#follower.run()
    const close = (): void => { void this.#producer?.close() }
    signal.addEventListener('abort', close, { once: true })
    // What the topic has of our streams is known first: an older copy of a journal must not take it back.
    await Promise.race([this.#follower.caughtUp, following])
    while (!signal.aborted) await this.#say()
    await this.#producer?.close()
    await following
  }

  async #say (): Promise<void> {
    const { shipping, signal, watch, topic } = this.#parts
    const batch = shipping.nextStatements(shipping.isDrained && !watch.isFailing)
    if (batch === undefined) { await this.bell.sleep(intervalMs, signal); return }
    this.isSending = true
    try {
      await this.#send(batch)
      watch.worked(topic)
      this.batches++
    } catch (error) {
      shipping.notSaid(batch)
      await this.#producer?.close()
      this.#producer = undefined
      if (signal.aborted) return
      watch.failed(topic, error)
      await sleepMs(retryMs, signal).catch(() => undefined)
      await this.#follower.contact()
    } finally { this.isSending = false }
    await this.bell.sleep(intervalMs, signal)
  }

  async #send (batch: StatementBatch): Promise<void> {
    const { kafka, topic, shipping, known, skew, clock } = this.#parts
    const { records, own } = batch
    this.#producer ??= kafka.openPartitionProducer({ topic, partition })
    if (own?.state === 'closed') known.closing()
    const fromMs = clock.nowMs()
    for (let at = 0; at < records.length; at += recordsMax) await this.#producer.send(records.slice(at, at + recordsMax))
    shipping.said(batch)
    if (own === undefined) return
    if (own.state === 'open') known.opened()
    skew.said(own, { fromMs, toMs: clock.nowMs() })
  }

  #heard (records: readonly RecordIn[]): void {
    const { gatewayId, shipping, skew } = this.#parts
    for (const record of records) {
      const statement = parseGatewayStatement(record)
      if (statement?.kind !== 'mark' || statement.gatewayId !== gatewayId || !shipping.index.hasStream(statement.streamId)) continue
      shipping.statements.published(statement)
      skew.readBack(statement, record.timestampMs)
      if (statement.streamId === shipping.statements.ownStreamId) this.ownAppendedMs = record.timestampMs
    }
  }
}
