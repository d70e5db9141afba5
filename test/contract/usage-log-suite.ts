// What every usage log must give an aggregator, whatever lies between it and the gateway's journal: each event in the order
// of its stream's chain, nothing skipped, and nothing dropped that isn't archived.
import assert from 'node:assert/strict'
import { closeSync, globSync, openSync, readFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { followChain } from '../../src/domain/chain.ts'
import { parseUsageEvent } from '../../src/domain/usage-event.ts'
import type { EventRun, Mark, ReadTo, UsageLog, UsageLogItem, UsageProgress, VoidRun } from '../../src/usage-log/port.ts'
import { eventually } from '../helpers/eventually.ts'
import { startRigJournal, temporaryFolder } from '../helpers/shipper-rig.ts'

/** A journal that events are offered to, and the log that an aggregator reads them from. */
export interface GatewayOnLog {
  readonly offer: (count: number) => Promise<void>
  /** Resolves when the log itself, not just the journal, has so many records. */
  readonly arrived: (count: number) => Promise<void>
  /** As a gateway ends: the next start is another stream. */
  readonly stop: () => Promise<void>
  readonly open: () => UsageLog
  /** Does what is done once an aggregator has archived so much; resolves when the log has dropped something because of it. */
  readonly archive: (log: UsageLog, archived: Archived) => Promise<void>
  /** Makes some record in the later half unreadable where the log keeps it. */
  readonly spoil: () => void
}

export interface Archived { readonly progress: readonly UsageProgress[], readonly position: ReadTo | undefined }

export interface UsageLogRig {
  /** @param folder the gateway's; one that has a journal goes on with it */
  readonly start: (folder: string) => Promise<GatewayOnLog>
  /** False where gateways say their marks elsewhere. */
  readonly hasMarks: boolean
}

const partition = 0
/** No log has larger pieces: a group commit, a batch of Kafka's. */
const pieceBytesMax = 2 ** 20

/** The seqs that a reader has taken of each stream. */
type LastSeqs = ReadonlyMap<string, number>

interface Followed {
  readonly lastSeqs: LastSeqs
  /** By stream, of the events that count: the number that each was offered as. */
  readonly numbers: ReadonlyMap<string, readonly number[]>
  readonly runs: readonly EventRun[]
  readonly voids: readonly VoidRun[]
  readonly marks: readonly Mark[]
  readonly count: number
}

/** Takes items as an aggregator does, and holds them to what the port says of each. */
function follow (items: readonly UsageLogItem[], from: LastSeqs = new Map()): Followed {
  const lastSeqs = new Map(from)
  const numbers = new Map<string, number[]>()
  const watermarks = new Map<string, number>()
  for (const item of items) {
    const lastSeq = lastSeqs.get(item.streamId) ?? 0
    if (item.kind === 'mark') {
      assert.ok(item.seq <= lastSeq, `a mark covers ${item.seq} of ${item.streamId}, of which ${lastSeq} stand before it`)
      assert.ok(item.watermarkMs >= (watermarks.get(item.gatewayId) ?? 0), 'a watermark fell')
      watermarks.set(item.gatewayId, item.watermarkMs)
      continue
    }
    const verdict = followChain(lastSeq, item)
    assert.notEqual(verdict.kind, 'gap', `${item.streamId}: what follows on ${item.prevSeq} came when ${lastSeq} was the last`)
    if (item.kind === 'events') {
      const offered = numbers.get(item.streamId) ?? []
      numbers.set(item.streamId, offered)
      for (const { seq, number, gatewayId, requestTimeMs } of linesOf(item)) {
        assert.ok(requestTimeMs >= (watermarks.get(gatewayId) ?? 0), `event ${seq} lies before a watermark that it follows`)
        if (seq > lastSeq) offered.push(number)
      }
    }
    if (verdict.kind === 'count') lastSeqs.set(item.streamId, item.lastSeq)
  }
  return {
    lastSeqs, numbers,
    runs: items.filter((item) => item.kind === 'events'),
    voids: items.filter((item) => item.kind === 'void'),
    marks: items.filter((item) => item.kind === 'mark'),
    count: [...numbers.values()].reduce((sum, { length }) => sum + length, 0)
  }
}

/** A run's lines, which must be what its head says. */
function linesOf ({ streamId, prevSeq, firstSeq, lastSeq, count, ndjson }: EventRun): { readonly seq: number, readonly number: number, readonly gatewayId: string, readonly requestTimeMs: number }[] {
  const lines = ndjson.toString().split('\n').slice(0, -1)
  let before = prevSeq
  const events = lines.map((line) => {
    const parsed = parseUsageEvent(line)
    assert.ok('event' in parsed, line)
    const { event } = parsed
    assert.deepEqual([event.streamId, event.prevSeq], [streamId, before])
    before = event.seq
    return { seq: event.seq, number: Number(event.requestUri.slice('/tracking/'.length)), gatewayId: event.gatewayId, requestTimeMs: event.requestTimeMs }
  })
  assert.deepEqual([events[0]?.seq, events.at(-1)?.seq, events.length], [firstSeq, lastSeq, count])
  return events
}

/** Reads until the log has handed out the last of so many records, whatever kind of item holds it. */
async function readTo (log: UsageLog, records: number, bytesMax = 64 * 1024): Promise<UsageLogItem[]> {
  const items: UsageLogItem[] = []
  const lastSeqs = new Map<string, number>()
  await eventually(`${records} records are handed out`, async () => {
    for (const item of await log.read(partition, bytesMax)) {
      items.push(item)
      if (item.kind !== 'mark') lastSeqs.set(item.streamId, Math.max(item.lastSeq, lastSeqs.get(item.streamId) ?? 0))
    }
    return [...lastSeqs.values()].reduce((sum, lastSeq) => sum + lastSeq, 0) >= records
  }, { everyMs: 1 })
  return items
}

const oneTo = (count: number, first = 1): number[] => Array.from({ length: count }, (_, index) => first + index)

/** Changes a byte in the middle of the line of the event that was offered as `number`. */
export function spoilJournal (folder: string, number: number): void {
  const line = Buffer.from(`"requestUri":"/tracking/${number}"`)
  for (const name of globSync('journal/*.segment', { cwd: folder })) {
    const file = path.join(folder, name)
    const at = readFileSync(file).indexOf(line)
    if (at < 0) continue
    spoilByte(file, at)
    return
  }
  throw new Error(`no segment has event ${number}`)
}

/** The rest of the file may be written to meanwhile. */
export function spoilByte (file: string, at: number): void {
  const changed = Buffer.of(readFileSync(file).readUInt8(at) ^ 0xff)
  const descriptor = openSync(file, 'r+')
  try { writeSync(descriptor, changed, 0, 1, at) } finally { closeSync(descriptor) }
}

export function usageLogContract (name: string, openRig: (t: TestContext) => Promise<UsageLogRig>): void {
  const openGateway = async (t: TestContext): Promise<GatewayOnLog> => (await openRig(t)).start(temporaryFolder())

  test(`${name}: every event comes once, in the order of its chain, and reading goes on where it was`, async (t) => {
    const gateway = await openGateway(t)
    const log = gateway.open()
    assert.deepEqual(log.partitions, [partition])
    await gateway.offer(3_000)
    const first = await readTo(log, 3_000)
    const between = await log.read(partition, 64 * 1024)
    assert.ok(between.every(({ kind }) => kind === 'mark'), 'nothing but marks is new')
    await gateway.offer(500)
    const second = await readTo(log, 3_500)
    const { numbers, voids } = follow([...first, ...between, ...second])
    // Looked at when all has been read: what was handed out stays as it is.
    assert.deepEqual([...numbers.values()], [oneTo(3_500)])
    assert.deepEqual(voids, [])
    assert.equal(second.find((item) => item.kind === 'events')?.prevSeq, 3_000, 'the second reading went on behind the first')
  })

  test(`${name}: a read hands out about as much as it may, one piece at least`, async (t) => {
    const gateway = await openGateway(t)
    await gateway.offer(6_000)
    await gateway.arrived(6_000)
    const log = gateway.open()
    const sizes: number[] = []
    for (let count = 0; count < 6_000;) {
      const runs = (await log.read(partition, 1)).filter((item) => item.kind === 'events')
      sizes.push(runs.reduce((sum, { ndjson }) => sum + ndjson.length, 0))
      count += runs.reduce((sum, run) => sum + run.count, 0)
    }
    const largest = Math.max(...sizes)
    assert.ok(largest <= pieceBytesMax, `${largest} bytes at once`)
    assert.ok(sizes.reduce((sum, bytes) => sum + bytes, 0) > 3 * pieceBytesMax, 'it would have been more')
  })

  test(`${name}: each start of a gateway is a stream with a chain of its own, and its marks stand behind what they cover`, async (t) => {
    const rig = await openRig(t)
    const folder = temporaryFolder()
    const before = await rig.start(folder)
    await before.offer(700)
    await before.arrived(700)
    await before.stop()
    const after = await rig.start(folder)
    await after.offer(300)
    const { numbers, marks } = follow(await readTo(after.open(), 1_000))
    assert.deepEqual([...numbers.values()], [oneTo(700), oneTo(300)])
    const [firstStream = '', secondStream = ''] = numbers.keys()
    const said = marks.map(({ streamId, seq, state }) => `${streamId} ${seq} ${state}`)
    assert.equal(said.includes(`${firstStream} 700 closed`), rig.hasMarks)
    assert.equal(said.includes(`${secondStream} 0 open`), rig.hasMarks)
  })

  test(`${name}: what the journal has lost is a void in its place, and the chain goes on behind it`, async (t) => {
    const folder = temporaryFolder()
    const journal = await startRigJournal(t, { prefix: '', gatewayId: 'gateway-1', partitions: 1 }, folder)
    for (let round = 0; round < 3; round++) await journal.offer(100)
    await journal.close()
    spoilJournal(folder, 150)
    const gateway = await (await openRig(t)).start(folder)
    const { numbers, voids, count } = follow(await readTo(gateway.open(), 300))
    const [lost] = voids
    assert.ok(lost !== undefined && voids.length === 1)
    assert.ok(lost.prevSeq < 150 && lost.lastSeq >= 150, `it stands for what follows on ${lost.prevSeq} up to ${lost.lastSeq}`)
    assert.deepEqual([...numbers.values()], [[...oneTo(lost.prevSeq), ...oneTo(300 - lost.lastSeq, lost.lastSeq + 1)]])
    assert.equal(lost.hours.reduce((sum, hour) => sum + hour.count, 0), 300 - count, 'the block\'s head says how many events it had')
    assert.deepEqual([lost.gatewayId, lost.isHoursUncertain, lost.reason.length > 0], ['gateway-1', false, true])
  })

  test(`${name}: only what is counted and archived is dropped; who begins again finds all the rest`, async (t) => {
    const gateway = await openGateway(t)
    const log = gateway.open()
    await gateway.offer(5_000)
    const archivedItems = await readTo(log, 2_500)
    const position = log.readTo?.(partition)
    const { lastSeqs } = follow(archivedItems)
    const [[streamId, archivedSeq] = ['', 0]] = lastSeqs
    await readTo(log, 5_000)
    await log.read(partition, 1)
    await gateway.archive(log, { progress: [{ streamId, appliedSeq: 5_000, archivedSeq }], position })
    await log.rewind(partition)
    const rewound = await readTo(log, 5_000)
    await log.close()
    const reopened = await readTo(gateway.open(), 5_000)
    for (const items of [rewound, reopened]) {
      const { numbers, runs } = follow(items, lastSeqs)
      assert.deepEqual([...numbers.values()], [oneTo(5_000 - archivedSeq, archivedSeq + 1)])
      assert.ok((runs[0]?.firstSeq ?? 0) > 1, 'the oldest events are gone')
    }
  })

  test(`${name}: what is counted alone stays, and a rewound log begins with its first event`, async (t) => {
    const gateway = await openGateway(t)
    const log = gateway.open()
    await gateway.offer(5_000)
    const [[streamId] = ['']] = follow(await readTo(log, 5_000)).lastSeqs
    await log.read(partition, 1)
    await log.reportProgress(partition, [{ streamId, appliedSeq: 5_000, archivedSeq: 0 }])
    await gateway.offer(3_000)
    await log.rewind(partition)
    assert.deepEqual([...follow(await readTo(log, 8_000)).numbers.values()], [oneTo(8_000)])
  })

  test(`${name}: nothing behind what can't be read is handed out, however often it is tried`, async (t) => {
    const gateway = await openGateway(t)
    await gateway.offer(6_000)
    await gateway.arrived(6_000)
    gateway.spoil()
    const log = gateway.open()
    const items: UsageLogItem[] = []
    const readOn = async (): Promise<number> => {
      try {
        const more = await log.read(partition, 1)
        items.push(...more)
        return more.length
      } catch (error) {
        assert.equal((error as { readonly code?: unknown }).code, 'JOURNAL_CORRUPT')
        return 0
      }
    }
    while (await readOn() > 0);
    const { numbers, count } = follow(items)
    assert.ok(count > 0 && count < 6_000, `${count} events of 6000`)
    assert.deepEqual([...numbers.values()], [oneTo(count)])
    for (let again = 0; again < 5; again++) assert.equal(await readOn(), 0)
  })
}
