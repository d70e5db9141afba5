// The billing thread as the program starts it: fed over the hourly log's message port, asked over HTTP and by the program.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import { startBilling } from '../../src/billing/start.ts'
import type { BillingHandle } from '../../src/billing/start.ts'
import { signMemberToken } from '../../src/domain/api-key.ts'
import { hourStartMs } from '../../src/domain/window.ts'
import { serveHourlyLog } from '../../src/hourly-log/embedded.ts'
import type { HourlyBatch } from '../../src/hourly-log/port.ts'
import { book, completeBeforeHour, memberHours, memberSecret, operatorToken } from '../helpers/billing-ledger.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePorts } from '../helpers/free-ports.ts'

interface Started { readonly billing: BillingHandle, readonly urls: { readonly member: string, readonly operator: string }, readonly publish: (rows: typeof memberHours) => void }

function batchOf (revision: number, rows: typeof memberHours): HourlyBatch {
  const rowsNdjson = rows.map((row) => JSON.stringify({ sourcePartition: 0, segment: 0, memberId: 7, revision, ...row, units: Number(row.units) })).join('\n')
  return { isReset: revision === 1, partition: 0, position: { historyId: 'history', term: 1, revision }, closed: [], rowsNdjson, watermarks: [{ gatewayId: 'one', watermarkMs: hourStartMs(completeBeforeHour) + 60_000 }], hasMore: false }
}

async function startTestBilling (t: TestContext, ports: readonly number[]): Promise<Started> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-billing-'))
  const { port1, port2 } = new MessageChannel()
  const batches: HourlyBatch[] = []
  const server = serveHourlyLog(port1, { next: async (_, position) => batches.find((batch) => batch.position.revision === (position?.revision ?? 0) + 1) })
  t.after(() => { server.close(); rmSync(folder, { recursive: true }) })
  const [member = 0, operator = 0] = ports
  const billing = await startBilling({
    environment: { logLevel: 'silent', clock: { kind: 'system' }, crashPoint: undefined },
    options: {
      rules: {
        listen: { host: '127.0.0.1', port: member }, privateListen: { host: '127.0.0.1', port: operator }, priceBook: book.document,
        memberSecret, operatorTokens: [{ name: 'test', token: operatorToken }], rangeDaysMax: 60
      },
      ledger: { folder: path.join(folder, 'billing'), memoryBytesMax: 128 * 2 ** 20, threads: 1, graceMs: 60_000 },
      partitions: [0]
    },
    hourlyLogPort: port2,
    onDeath: (name, error) => { throw new Error(`${name} died`, { cause: error }) }
  })
  return {
    billing,
    urls: { member: `http://127.0.0.1:${member}`, operator: `http://127.0.0.1:${operator}` },
    publish: (rows) => { batches.push(batchOf(batches.length + 1, rows)); server.notify() }
  }
}

const totalUrl = '/private/aggregation/v1/member/7/charge/total?startDate=2026-01-14&endDate=2026-01-16'
const range = { memberId: 7, from: '2026-01-14', to: '2026-01-16', by: 'day' } as const

test('what the hourly log says is on the bill, at both listeners and for the program', async (t) => {
  const ports = await freePorts(2)
  const { billing, urls, publish } = await startTestBilling(t, ports)
  const asOperator = { headers: { authorization: `Bearer ${operatorToken}` } }
  const before = await fetch(urls.operator + totalUrl, asOperator)
  assert.deepEqual([before.status, before.headers.get('retry-after'), (await before.json() as { code: string }).code], [503, '1', 'M0009'])
  assert.equal((await billing.health()).isReady, false)
  publish(memberHours.slice(0, 3))
  await eventually('the first rows are in the ledger', async () => (await billing.health()).isReady)
  assert.deepEqual((await (await fetch(urls.operator + totalUrl, asOperator)).json() as { result: unknown }).result, { totalCount: 3, totalCost: 1, unpriced: 0 })
  publish(memberHours.slice(3))
  await eventually('all rows are in the ledger', async () => (await billing.bill(range)).total.count === 113)
  const usage = await billing.bill(range)
  assert.equal(usage.total.costMicros, '104666632')
  assert.equal(usage.completeBefore, '2026-01-15T13:00:00.000Z')
  assert.equal((await billing.totals()).count, 113)
  const token = signMemberToken({ memberId: 7, iatS: Math.floor(Date.now() / 1000), expS: Math.floor(Date.now() / 1000) + 60 }, { secret: memberSecret })
  const member = await fetch(urls.member + totalUrl.replace('/private', '/api'), { headers: { authorization: `Bearer ${token}` } })
  assert.deepEqual((await member.json() as { result: unknown }).result, { totalCount: 113, totalCost: 105, unpriced: 5 })
  await assert.rejects(billing.bill({ ...range, from: '2026-01-17' }), { code: 'M0002' })
  const names = (await billing.metrics()).map(({ name }) => name)
  for (const name of ['tollgate_billing_answers_total', 'tollgate_billing_answer_seconds', 'tollgate_billing_questions_waiting', 'tollgate_ledger_current', 'tollgate_ledger_steps_total', 'tollgate_complete_before_timestamp_seconds']) assert.ok(names.includes(name), name)
  await billing.stop()
  await assert.rejects(fetch(urls.operator + totalUrl, asOperator))
})

test('a port that is taken is named, and nothing is left listening', async (t) => {
  const ports = await freePorts(1)
  const taken = createServer()
  await new Promise<void>((resolve) => { taken.listen(0, '127.0.0.1', resolve) })
  t.after(() => { taken.close() })
  const { port } = taken.address() as { port: number }
  await assert.rejects(startTestBilling(t, [ports[0] ?? 0, port]), (error: Error & { code?: string }) => error.code === 'PORT_IN_USE' && error.message.includes(String(port)))
  await assert.rejects(fetch(`http://127.0.0.1:${ports[0]}/api/aggregation/v1/ping`))
})
