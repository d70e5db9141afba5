// A gateway's journal, its shipper, Kafka and aggregators in one thread: each step is drawn from a seed.
import assert from 'node:assert/strict'
import { partitionOf } from '../../src/domain/partition.ts'
import { formatTimeMs, hourOf } from '../../src/domain/window.ts'
import type { JournalOptions } from '../../src/journal/options.ts'
import type { RecordOut } from '../../src/kafka/port.ts'
import { openLogger } from '../../src/platform/logger.ts'
import type { Lane, Parcel } from '../../src/shipper/lane.ts'
import { Shipping } from '../../src/shipper/shipping.ts'
import type { StatementBatch } from '../../src/shipper/statements.ts'
import { framesOf } from './damage-scenario.ts'
import { folder } from './journal-machine.ts'
import type { JournalMachine, Request } from './journal-machine.ts'
import { SimulatedPartition, SimulatedStatements } from './shipper-kafka.ts'

export const segmentBytes = 128 * 1024
export const resendAfterMs = 20_000
/** Events are large, so that few of them fill a segment. */
const filler = 'y'.repeat(2_000)
const log = openLogger({ level: 'silent', thread: 'simulation' })

export function journalOptions (partitions: number, segments = 12): JournalOptions {
  return {
    folder, gatewayId: 'gateway-1', build: '0', partitions, segmentBytes, bytesMax: segments * segmentBytes, diskFreeBytesMin: 0, commitBytesMax: 8 * 1024,
    refusedBytesMax: segmentBytes, inFlightMax: 12, eventBytesMax: 4000, ack: 'durable', bufferedIntervalMs: 1500, markIntervalMs: 1000
  }
}

/** As the gateway's encoder writes it, with an id for the account; some without a key. */
export function encoderFor (partitions: number): (request: Request, padding: string) => { readonly event: string, readonly partition: number } {
  return ({ id, t }, padding) => {
    const key = id % 9 === 0 ? undefined : 1 + id % 11
    const keyText = key === undefined ? '' : `,"apiKeyId":${key}`
    const event = `{"eventId":"${String(id).padStart(36, '0')}","requestTime":"${formatTimeMs(t)}","id":${id},"hour":${hourOf(t)},"padding":"${padding.slice(2_200)}${filler}"${keyText},"gatewayId":"gateway-1"`
    return { event, partition: partitionOf(key === undefined ? 'gateway-1' : String(key), partitions) }
  }
}

/** Kafka and those who count, shared by all gateways. */
export class Cluster {
  readonly partitions: readonly SimulatedPartition[]
  readonly statements = new SimulatedStatements()
  /** Sends whose sender has given up and which may still arrive. */
  readonly straying: { readonly partition: number, readonly records: readonly RecordOut[] }[] = []

  constructor (partitions: number) { this.partitions = Array.from({ length: partitions }, () => new SimulatedPartition()) }

  at (partition: number): SimulatedPartition { return this.partitions[partition] as SimulatedPartition }
}

export interface SendFaults {
  /** Shares of sends that fail without, with, and with a part of their records appended; and that arrive later. */
  readonly refused: number
  readonly lostAck: number
  readonly torn: number
  readonly late: number
}

export const noFaults: SendFaults = { refused: 0, lostAck: 0, torn: 0, late: 0 }

/** The shipper of one machine, and what drives it. */
export class SimulatedShipper {
  shipping: Shipping | undefined
  resends = 0
  probes = 0
  failures = 0
  restarts = 0
  /** Partitions whose sends all fail, and for how many more. */
  readonly blocked = new Map<number, number>()
  readonly #machine: JournalMachine
  readonly #cluster: Cluster
  readonly #random: () => number
  readonly #inFlight = new Map<Lane, Parcel>()
  #saying: StatementBatch | undefined
  #trimmedBelow = 0

  constructor (machine: JournalMachine, cluster: Cluster, random: () => number) {
    this.#machine = machine
    this.#cluster = cluster
    this.#random = random
  }

  start (): void {
    const { disk, state } = this.#machine
    assert.ok(state !== undefined)
    this.restarts++
    this.#trimmedBelow = 0
    this.shipping = new Shipping({ disk, folder, state, log }, {
      gatewayId: 'gateway-1', partitions: this.#cluster.partitions.length, parcelRecordsMax: 4, parcelBytesMax: 12_000, bufferBytesMax: 2 ** 20, readBytesMax: 8_192,
      patienceMs: 3_000, resendAfterMs
    })
  }

  /** It ends; sends that are under way may still arrive. */
  die (): void {
    if (this.shipping !== undefined) { this.resends += this.shipping.resends; this.probes += this.shipping.probes }
    for (const [lane, { records }] of this.#inFlight) if (this.#random() < 0.5) this.#cluster.straying.push({ partition: lane.partition, records })
    this.#inFlight.clear()
    this.#saying = undefined
    this.shipping = undefined
  }

  read (): boolean { return this.shipping?.read(this.#machine.clock.ms) ?? false }

  tick (): void { this.shipping?.tick(this.#machine.clock.ms) }

  /** What the topic usage-progress has of a partition is heard. */
  hear (partition: number): void {
    this.shipping?.take([...this.#cluster.at(partition).published.values()])
    this.checkTrim()
  }

  /** A producer is opened for each lane that has none, after what is counted was read. */
  open (): void {
    for (const lane of this.shipping?.lanes.values() ?? []) {
      if (lane.isUp) continue
      this.hear(lane.partition)
      lane.up(this.#machine.clock.ms)
    }
  }

  /** Begins a send where none is in flight. */
  send (): void {
    for (const lane of this.shipping?.lanes.values() ?? []) {
      if (!lane.isUp || this.#inFlight.has(lane)) continue
      const parcel = lane.next()
      if (parcel !== undefined) this.#inFlight.set(lane, parcel)
    }
  }

  /** Each send in flight ends in some way. */
  settle (faults: SendFaults): void {
    for (const [lane, parcel] of [...this.#inFlight]) this.#settleOne(lane, parcel, faults)
  }

  #settleOne (lane: Lane, parcel: Parcel, faults: SendFaults): void {
    const { shipping } = this
    const nowMs = this.#machine.clock.ms
    const partition = this.#cluster.at(lane.partition)
    const { records } = parcel
    this.#inFlight.delete(lane)
    const blocked = this.blocked.get(lane.partition) ?? 0
    if (blocked > 0) this.blocked.set(lane.partition, blocked - 1)
    const draw = this.#random()
    const { refused, lostAck, torn, late } = faults
    if (blocked > 0 || draw < refused + lostAck + torn + late) {
      if (blocked === 0 && draw < lostAck) partition.append(records)
      else if (blocked === 0 && draw < lostAck + torn) partition.append(records.slice(0, Math.floor(this.#random() * records.length)))
      else if (blocked === 0 && draw < lostAck + torn + late) this.#cluster.straying.push({ partition: lane.partition, records })
      this.failures++
      shipping?.failed(lane, nowMs)
      return
    }
    partition.append(records)
    shipping?.sent(lane, parcel, nowMs)
  }

  /** Marks and hours begin to be said, or end to be. */
  say (isLost: boolean): void {
    const { shipping } = this
    if (shipping === undefined) return
    if (this.#saying === undefined) {
      for (const mark of this.#cluster.statements.marks.values()) if (shipping.index.hasStream(mark.streamId)) shipping.statements.published(mark)
      this.#saying = shipping.nextStatements(shipping.isDrained)
      this.checkTrim()
      return
    }
    if (!isLost || this.#random() < 0.5) {
      const { marks } = this.#cluster.statements
      const wasOpen = [...marks.values()].some(({ state }) => state === 'open')
      this.#cluster.statements.append(this.#saying.records.slice(0, isLost ? Math.floor(this.#random() * this.#saying.records.length) : undefined))
      if (wasOpen) this.#checkHello()
    }
    if (isLost) shipping.notSaid(this.#saying)
    else shipping.said(this.#saying)
    this.#saying = undefined
    this.checkTrim()
  }

  /** A gateway that was counted on is counted on until all its streams are known and have ended. */
  #checkHello (): void {
    const { ownStreamId } = this.shipping?.statements ?? {}
    const { marks } = this.#cluster.statements
    const hasEnded = [...marks.values()].every(({ state }) => state !== 'open')
    if (hasEnded) assert.ok(ownStreamId !== undefined && marks.has(ownStreamId), 'a stream was said to have ended before the next one was known')
  }

  get isSaying (): boolean { return this.#saying !== undefined }

  get isQuiet (): boolean { return this.shipping !== undefined && this.shipping.isDrained && this.#saying === undefined && !this.shipping.statements.hasUnsaid }

  /** Nothing may be recycled that is not archived. */
  checkTrim (): void {
    const below = this.#machine.state?.trimBelow ?? 0
    if (below <= this.#trimmedBelow) return
    for (const { header } of framesOf(this.#machine)) {
      if (header.segment >= below || header.segment < this.#trimmedBelow || header.type !== 'events') continue
      for (const { partition, lastSeq } of header.runs) {
        const archived = this.#cluster.at(partition).archived.get(header.streamId) ?? 0
        assert.ok(lastSeq <= archived, `segment ${header.segment} may be recycled: partition ${partition} of ${header.streamId} is archived up to ${archived}, and it holds ${lastSeq}`)
      }
    }
    this.#trimmedBelow = below
  }
}
