// A gateway without its HTTP side: the real journal on a real disk, events made by the product's own encoder, the real shipper
// thread. The counting side is a stand-in of the test's own: it follows the chain of what another client reads from Kafka and
// says on usage-progress what it has counted.
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import type { Consumer, Producer } from 'kafkajs'
import { followChain } from '../../src/domain/chain.ts'
import { partitionOf } from '../../src/domain/partition.ts'
import { encodeUsageEvent } from '../../src/domain/usage-event.ts'
import { hourOf } from '../../src/domain/window.ts'
import { startJournal } from '../../src/journal/start.ts'
import type { JournalHandle } from '../../src/journal/start.ts'
import { openWorkerSide } from '../../src/journal/worker-side.ts'
import type { JournalWorkerSide } from '../../src/journal/worker-side.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { shipperDefaults, startShipper } from '../../src/shipper/start.ts'
import type { ShipperHandle, ShipperOptions } from '../../src/shipper/start.ts'
import { usageTopicSpecs, usageTopics } from '../../src/usage-log/kafka-topics.ts'
import { encodeStreamProgress } from '../../src/usage-log/usage-progress.ts'
import type { RunningKafka } from '../services/kafka.ts'

const mebibyte = 2 ** 20
const environment = { logLevel: 'silent', clock: { kind: 'system' }, crashPoint: undefined } as const

export interface RigOptions {
  readonly prefix: string
  readonly gatewayId: string
  readonly partitions: number
  readonly folder?: string
  readonly journalBytesMax?: number
  readonly markIntervalMs?: number
  readonly shipper?: Partial<ShipperOptions>
}

export interface ShipperRig {
  readonly folder: string
  readonly journal: JournalHandle
  readonly shipper: ShipperHandle
  /** Offers events with keys 1 to `keys`, each seventh without one; resolves when all are durable. */
  readonly offer: (count: number, keys?: number) => Promise<void>
  /** As a gateway stops. */
  readonly stop: () => Promise<void>
}

export async function makeUsageTopics (kafka: RunningKafka, prefix: string, partitions: number): Promise<void> {
  await kafka.makeTopics(usageTopicSpecs({ prefix, partitions, minInsyncReplicas: 1 }))
}

const folders: string[] = []
process.once('exit', () => { for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true }) })

/** Removed when the process ends: what a test stops at its end still writes to it. */
export function temporaryFolder (): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-shipper-'))
  folders.push(folder)
  return folder
}

export async function startRigJournal (t: TestContext, { gatewayId, partitions, journalBytesMax = 64 * mebibyte, markIntervalMs = 100 }: RigOptions, folder: string): Promise<Pick<ShipperRig, 'journal' | 'offer'> & { readonly close: () => Promise<void> }> {
  const onDeath = (name: string, error: Error): void => { throw new Error(`thread ${name} died`, { cause: error }) }
  const journal = await startJournal({
    workers: 1, ringBytes: mebibyte, environment, onDeath,
    journal: {
      folder: path.join(folder, 'journal'), gatewayId, build: '0', partitions, segmentBytes: mebibyte, bytesMax: journalBytesMax, diskFreeBytesMin: 0, commitBytesMax: 256 * 1024,
      refusedBytesMax: mebibyte, inFlightMax: 1000, eventBytesMax: 4000, ack: 'durable', bufferedIntervalMs: 20, markIntervalMs
    }
  })
  const side = openWorkerSide(journal.workers[0] as JournalHandle['workers'][number], systemClock)
  const offer = offerTo(side, { gatewayId, partitions })
  let isClosed = false
  const close = async (): Promise<void> => {
    if (isClosed) return
    isClosed = true
    side.close()
    await journal.stop()
  }
  t.after(close)
  return { journal, offer, close }
}

export function shipperOptions (kafka: RunningKafka, { prefix, gatewayId, partitions, journalBytesMax = 64 * mebibyte, shipper }: RigOptions, folder: string): ShipperOptions {
  return {
    kafka: kafka.options(gatewayId), topicPrefix: prefix, gatewayId, partitions, stateFolder: path.join(folder, 'shipper'), journalBytesMax, segmentBytes: mebibyte,
    ...shipperDefaults, ...shipper
  }
}

export async function startShipperRig (t: TestContext, kafka: RunningKafka, options: RigOptions): Promise<ShipperRig> {
  const folder = options.folder ?? temporaryFolder()
  const { journal, offer, close } = await startRigJournal(t, options, folder)
  const onDeath = (name: string, error: Error): void => { throw new Error(`thread ${name} died`, { cause: error }) }
  const shipper = await startShipper({ options: shipperOptions(kafka, options, folder), journal: journal.reader, environment, onDeath })
  let isStopped = false
  const stop = async (): Promise<void> => {
    if (isStopped) return
    isStopped = true
    await close()
    await shipper.stop()
  }
  t.after(stop)
  return { folder, journal, shipper, offer, stop }
}

function offerTo (side: JournalWorkerSide, { gatewayId, partitions }: Pick<RigOptions, 'gatewayId' | 'partitions'>): ShipperRig['offer'] {
  const starts: number[] = []
  let settled = 0
  let offered = 0
  let onSettled: () => void = () => {}
  side.outlet.onSettled((ticket, isFailed) => {
    for (; settled < ticket; settled++) {
      if (isFailed(settled + 1)) throw new Error(`ticket ${settled + 1} failed`)
      const requestTimeMs = starts.shift() as number
      side.answered.answered(requestTimeMs)
      side.inFlight.end(requestTimeMs)
    }
    onSettled()
  })
  const offerOne = (keys: number): void => {
    const requestTimeMs = side.inFlight.begin()
    starts.push(requestTimeMs)
    const number = ++offered
    const key = number % 7 === 0 ? {} : { apiKeyId: 1 + number % keys, memberId: 1 + number % 5, memberGrade: 'GRADE_FREE' as const }
    const event = encodeUsageEvent({
      eventId: randomUUID(), requestTimeMs, responseTimeMs: requestTimeMs + 3, requestProtocol: 'HTTP/1.1', requestMethod: 'GET', requestUri: `/tracking/${number}`,
      responseStatus: 200, clientIp: '192.0.2.1', clientAgent: 'a "quoted" agent,"apiKeyId":7', ...key, traceId: randomUUID(), routeId: 'tracking', apiEndpointId: 1, gatewayId,
      requestBytes: 0, responseBytes: 120, upstreamLatencyMs: 2, units: 1
    })
    side.outlet.offer(event, { partition: partitionOf('apiKeyId' in key ? String(key.apiKeyId) : gatewayId, partitions), hour: hourOf(requestTimeMs), isRefusal: false })
  }
  return (count, keys = 50) => new Promise((resolve) => {
    const until = offered + count
    const more = (): void => {
      while (offered < until && offered - settled < 500) offerOne(keys)
      if (settled === until) resolve()
    }
    onSettled = more
    more()
  })
}

/** A record of the usage topic as the independent client sees it. */
export interface SeenRecord { readonly partition: number, readonly offset: number, readonly key: string, readonly value: string, readonly headers: Readonly<Record<string, string>>, readonly timestampMs: number }

export interface Counter {
  /** In each partition's order. */
  readonly records: SeenRecord[]
  /** `streamId/seq` of what was counted, by the chain. */
  readonly counted: Set<string>
  readonly gaps: Set<string>
  /** What is counted now is also archived; says so. */
  readonly report: (isArchived?: boolean) => Promise<void>
  readonly stop: () => Promise<void>
}

/** Reads the whole usage topic with another client. */
export async function startCounter (t: TestContext, kafka: RunningKafka, prefix: string): Promise<Counter> {
  const topics = usageTopics(prefix)
  const client = kafka.independent('counter')
  const consumer: Consumer = client.consumer({ groupId: `counter-${randomUUID()}` })
  const producer: Producer = client.producer()
  const last = new Map<string, number>()
  const archived = new Map<string, number>()
  const counter = { records: [] as SeenRecord[], counted: new Set<string>(), gaps: new Set<string>() }
  await consumer.connect()
  await producer.connect()
  await consumer.subscribe({ topic: topics.usage, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      const headers = Object.fromEntries(Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)]))
      counter.records.push({ partition, offset: Number(message.offset), key: String(message.key), value: String(message.value), headers, timestampMs: Number(message.timestamp) })
      const at = `${headers['streamId'] ?? ''}|${partition}`
      const run = { prevSeq: Number(headers['prevSeq']), lastSeq: Number(headers['seq']) }
      const verdict = followChain(last.get(at) ?? 0, run)
      if (verdict.kind === 'gap') counter.gaps.add(at)
      if (verdict.kind !== 'count') return
      counter.gaps.delete(at)
      last.set(at, run.lastSeq)
      counter.counted.add(`${headers['streamId'] ?? ''}/${run.lastSeq}`)
    }
  })
  let isStopped = false
  const stop = async (): Promise<void> => {
    if (isStopped) return
    isStopped = true
    await Promise.all([consumer.disconnect(), producer.disconnect()])
  }
  t.after(stop)
  return {
    ...counter,
    report: async (isArchived = true) => {
      for (const [at, appliedSeq] of last) {
        const [streamId = '', partition] = at.split('|')
        if (isArchived) archived.set(at, appliedSeq)
        const gap = counter.gaps.has(at) ? { gapAfter: appliedSeq } : {}
        const { key, value } = encodeStreamProgress({ streamId, partition: Number(partition), appliedSeq, archivedSeq: archived.get(at) ?? 0, ...gap })
        await producer.send({ topic: topics.usageProgress, acks: -1, messages: [{ key, value: String(value), partition: Number(partition) }] })
      }
    },
    stop
  }
}
