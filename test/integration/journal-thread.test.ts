// The journal's thread on a real disk, from hand-over to the usage log.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { Ack } from '../../src/journal/handover.ts'
import { startJournal } from '../../src/journal/start.ts'
import type { JournalHandle } from '../../src/journal/start.ts'
import { openWorkerSide } from '../../src/journal/worker-side.ts'
import type { JournalWorkerSide } from '../../src/journal/worker-side.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openEmbeddedUsageLog } from '../../src/usage-log/embedded.ts'
import type { UsageLogItem } from '../../src/usage-log/port.ts'
import { eventually } from '../helpers/eventually.ts'

const mebibyte = 2 ** 20

function temporaryFolder (t: TestContext): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-journal-'))
  t.after(() => { fs.rmSync(folder, { recursive: true, force: true }) })
  return folder
}

async function start (t: TestContext, folder: string, { ack = 'durable', workers = 2 }: { readonly ack?: Ack, readonly workers?: number } = {}): Promise<{ readonly handle: JournalHandle, readonly sides: JournalWorkerSide[], readonly stop: () => Promise<void> }> {
  const handle = await startJournal({
    workers, ringBytes: 64 * 1024, environment: { logLevel: 'silent', clock: { kind: 'system' }, crashPoint: undefined },
    onDeath: (name, error) => { throw new Error(`thread ${name} died`, { cause: error }) },
    journal: {
      folder, gatewayId: 'gateway-1', build: '0', partitions: 1, segmentBytes: mebibyte, bytesMax: 64 * mebibyte, diskFreeBytesMin: 0, commitBytesMax: 64 * 1024,
      refusedBytesMax: mebibyte, inFlightMax: 1000, eventBytesMax: 4000, ack, bufferedIntervalMs: 20, markIntervalMs: 50
    }
  })
  const sides = handle.workers.map((spec) => openWorkerSide(spec, systemClock))
  let isStopped = false
  const stop = async (): Promise<void> => {
    if (isStopped) return
    isStopped = true
    for (const side of sides) side.close()
    await handle.stop()
  }
  t.after(stop)
  return { handle, sides, stop }
}

/** Offers `count` events, at most 50 unsettled at a time; resolves when all are settled. */
async function offer (side: JournalWorkerSide, prefix: string, count: number): Promise<void> {
  let offered = 0
  let settled = 0
  const starts: number[] = []
  await new Promise<void>((resolve, reject) => {
    const more = (): void => {
      while (offered < count && offered - settled < 50) {
        const requestTimeMs = side.inFlight.begin()
        starts.push(requestTimeMs)
        side.outlet.offer(`{"eventId":"${prefix}-${offered++}","padding":"${'x'.repeat(offered % 700)}"`, { partition: 0, hour: Math.floor(requestTimeMs / 3_600_000), isRefusal: false })
      }
    }
    side.outlet.onSettled((ticket, isFailed) => {
      for (; settled < ticket; settled++) {
        if (isFailed(settled + 1)) reject(new Error(`ticket ${settled + 1} failed`))
        const requestTimeMs = starts.shift() as number
        side.answered.answered(requestTimeMs)
        side.inFlight.end(requestTimeMs)
      }
      if (settled === count) resolve()
      else more()
    })
    more()
  })
}

function readAll (handle: JournalHandle): UsageLogItem[] {
  const log = openEmbeddedUsageLog(handle.reader)
  const items: UsageLogItem[] = []
  for (let batch = log.read(0, 200_000) as readonly UsageLogItem[]; batch.length > 0; batch = log.read(0, 200_000) as readonly UsageLogItem[]) items.push(...batch)
  void log.close()
  return items
}

const eventIds = (items: readonly UsageLogItem[]): string[] => items.flatMap((item) => item.kind === 'events' ? item.ndjson.toString().trim().split('\n').map((line) => (JSON.parse(line) as { eventId: string }).eventId) : [])

for (const ack of ['durable', 'buffered'] as const) {
  test(`${ack}: what two workers offer is settled, and read once, across segments and restarts`, async (t) => {
    const folder = temporaryFolder(t)
    for (const life of ['a', 'b']) {
      const { handle, sides, stop } = await start(t, folder, { ack })
      await Promise.all(sides.map((side, index) => offer(side, `${life}${index}`, 3_000)))
      assert.deepEqual(await handle.health(), { isReady: true, reasons: [] })
      await stop()
      const ids = eventIds(readAll(handle)).filter((id) => id.startsWith(life))
      assert.deepEqual(ids.length, 6_000)
      assert.deepEqual(new Set(ids).size, 6_000)
    }
    assert.ok(fs.readdirSync(folder).filter((name) => /^\d+\.segment$/.test(name)).length >= 3)
  })
}

test('marks account for every answer, and the last one closes the stream', async (t) => {
  const folder = temporaryFolder(t)
  const { handle, sides, stop } = await start(t, folder)
  await Promise.all(sides.map((side, index) => offer(side, `${index}`, 500)))
  ;(sides[0] as JournalWorkerSide).answered.countedOnly(systemClock.nowMs(), 'G0006')
  ;(sides[0] as JournalWorkerSide).answered.answered(systemClock.nowMs())
  await stop()
  const marks = readAll(handle).filter((item) => item.kind === 'mark')
  const hours = new Map(marks.flatMap((mark) => mark.hours.map((hour) => [hour.hour, hour] as const)))
  const sum = (key: 'answered' | 'journaled' | 'countedOnly' | 'recovered'): number => [...hours.values()].reduce((total, hour) => total + hour[key], 0)
  assert.deepEqual([sum('answered'), sum('journaled'), sum('countedOnly'), sum('recovered')], [1_001, 1_000, 1, 0])
  assert.equal(marks.at(-1)?.state, 'closed')
  assert.equal((await start(t, folder)).handle.lastMarkMs, marks.at(-1)?.watermarkMs)
})

test('recycling follows what is reported, and the metrics tell', async (t) => {
  const folder = temporaryFolder(t)
  const { handle, sides } = await start(t, folder, { workers: 1 })
  await offer(sides[0] as JournalWorkerSide, 'a', 8_000)
  const log = openEmbeddedUsageLog(handle.reader)
  t.after(() => log.close())
  let streamId = ''
  let lastSeq = 0
  const readOn = (): void => {
    for (;;) {
      const items = log.read(0, 300_000) as readonly UsageLogItem[]
      if (items.length === 0) return
      for (const item of items) if (item.kind === 'events') ({ streamId, lastSeq } = item)
    }
  }
  readOn()
  assert.equal(lastSeq, 8_000)
  const used = async (): Promise<number> => Number((await handle.metrics()).find((metric) => metric.name === 'tollgate_journal_used_bytes')?.values[0]?.value)
  assert.ok(await used() > 3 * mebibyte)
  void log.reportProgress(0, [{ streamId, appliedSeq: lastSeq, archivedSeq: lastSeq - 1 }])
  readOn()
  void log.reportProgress(0, [{ streamId, appliedSeq: lastSeq, archivedSeq: lastSeq }])
  await eventually('the segments are recycled', async () => await used() < 2 * mebibyte)
  const events = (await handle.metrics()).find((metric) => metric.name === 'tollgate_journal_events_total')
  assert.equal(events?.values[0]?.value, 8_000)
})

test('a journal that is damaged while it runs stops its reader; the next start mends it and says what is lost', async (t) => {
  const folder = temporaryFolder(t)
  const first = await start(t, folder, { workers: 1 })
  await offer(first.sides[0] as JournalWorkerSide, 'a', 1_000)
  const file = path.join(folder, '000000000001.segment')
  const bytes = fs.readFileSync(file)
  const at = bytes.indexOf('"eventId":"a-500"')
  assert.ok(at > 0)
  bytes[at + 12] = 0
  const fd = fs.openSync(file, 'r+')
  fs.writeSync(fd, bytes, at, 32, at)
  fs.fsyncSync(fd)
  fs.closeSync(fd)
  assert.throws(() => { readAll(first.handle) }, { code: 'JOURNAL_CORRUPT' })
  await first.stop()
  const second = await start(t, folder, { workers: 1 })
  const items = readAll(second.handle)
  const ids = new Set(eventIds(items))
  const voids = items.filter((item) => item.kind === 'void')
  assert.equal(voids.length, 1)
  assert.ok(!ids.has('a-500'))
  const lost = (voids[0]?.lastSeq ?? 0) - (voids[0]?.prevSeq ?? 0)
  assert.equal(ids.size + lost, 1_000)
  assert.equal(voids[0]?.hours.reduce((sum, { count }) => sum + count, 0), lost)
  assert.equal(fs.readdirSync(path.join(folder, 'quarantine')).length, 1)
})
