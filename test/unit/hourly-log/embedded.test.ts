import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import { connectHourlyLog, serveHourlyLog } from '../../../src/hourly-log/embedded.ts'
import type { HourlyBatch, HourlyPosition } from '../../../src/hourly-log/port.ts'
import { eventually } from '../../helpers/eventually.ts'

const position: HourlyPosition = { historyId: 'h', term: 1, revision: 5 }
const batch: HourlyBatch = { isReset: false, partition: 0, position, closed: [], rowsNdjson: '', watermarks: [{ gatewayId: 'g', watermarkMs: null }], hasMore: false }

test('a ledger pulls what comes after its position', async (t) => {
  const { port1, port2 } = new MessageChannel()
  const asked: unknown[] = []
  const server = serveHourlyLog(port1, {
    next: async (partition, from) => {
      asked.push([partition, from])
      return from === undefined ? batch : undefined
    }
  })
  const reader = connectHourlyLog(port2)
  t.after(() => { server.close(); reader.close() })
  assert.deepEqual(await reader.next(0, undefined), batch)
  assert.equal(await reader.next(0, position), undefined)
  assert.deepEqual(asked, [[0, undefined], [0, position]])
})

test('a change is told once until the ledger has asked', async (t) => {
  const { port1, port2 } = new MessageChannel()
  const server = serveHourlyLog(port1, { next: async () => undefined })
  const reader = connectHourlyLog(port2)
  t.after(() => { server.close(); reader.close() })
  let told = 0
  reader.onChange(() => { told++ })
  server.notify()
  server.notify()
  await eventually('a change is told', () => told > 0)
  await reader.next(0, position)
  assert.equal(told, 1)
  server.notify()
  await eventually('the next change is told', () => told === 2)
})

test('a question to an aggregator that has gone is refused, and its errors keep their code', async (t) => {
  const { port1, port2 } = new MessageChannel()
  const server = serveHourlyLog(port1, { next: async () => { throw Object.assign(new Error('no'), { code: 'SNAPSHOT_DAMAGED' }) } })
  const reader = connectHourlyLog(port2)
  t.after(() => { reader.close() })
  await assert.rejects(reader.next(0, position), { code: 'SNAPSHOT_DAMAGED' })
  server.close()
  await assert.rejects(async () => {
    // The port may take a turn to see that the other side is gone.
    for (let tries = 0; tries < 100; tries++) await Promise.race([reader.next(0, position), new Promise((resolve) => { setImmediate(resolve) })])
  }, /closed/)
})
