// Completeness on bills and the gateways of a cluster, through the billing thread as the program starts it.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { startClusterBilling } from '../../src/billing/cluster-start.ts'
import type { ClusterBillingHandle } from '../../src/billing/cluster-start.ts'
import { gatewayHandlers } from '../../src/cli/handlers/gateway.ts'
import type { GatewayListView } from '../../src/cli/handlers/gateway.ts'
import { clusterProofHandlers } from '../../src/cli/handlers/proof.ts'
import type { VerifyView } from '../../src/cli/handlers/proof.ts'
import { formatDate, hourOf, hourStartMs } from '../../src/domain/window.ts'
import { BillingWorld } from '../helpers/billing-cluster.ts'
import { operatorToken } from '../helpers/billing-ledger.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePorts } from '../helpers/free-ports.ts'
import { countedRecords, rowRecord, saidRecords, streamOf } from '../helpers/topic-records.ts'
import { startKafka } from '../services/kafka.ts'

const kafka = await startKafka(undefined)
after(() => kafka.close())

/** Marks are judged by the broker's clock, so that these tests live now. The hour before the one that goes on. */
const hour = hourOf(Date.now()) - 1
const [one, two] = [streamOf(1), streamOf(2)]

async function start (t: TestContext, world: BillingWorld, name = 'one'): Promise<{ readonly billing: ClusterBillingHandle, readonly url: string }> {
  const ports = await freePorts(2)
  const billing = await startClusterBilling({
    environment: { logLevel: 'silent', clock: { kind: 'system' }, crashPoint: undefined }, options: world.options({ name, ports }), onDeath: (thread, error) => { throw new Error(`${thread} died`, { cause: error }) }
  })
  t.after(() => billing.stop())
  return { billing, url: `http://127.0.0.1:${ports[1]}` }
}

const isReady = async (billing: ClusterBillingHandle): Promise<void> => { await eventually('billing is ready', async () => (await billing.health()).isReady) }
const completeBefore = (billing: ClusterBillingHandle, before: number): Promise<unknown> => eventually(`complete before ${before - hour}`, async () => (await billing.completeness()).completeBeforeHour === before)

test('an hour on a bill is complete when its gateways have passed it and all of it is counted', async (t) => {
  const world = new BillingWorld(t, kafka, 1)
  await world.makeTopics()
  const { billing, url } = await start(t, world)
  await isReady(billing)
  const shown = async (): Promise<unknown> => {
    const day = formatDate(hour)
    const answer = await fetch(`${url}/private/aggregation/v1/member/7/charge?startDate=${day}&endDate=${day}`, { headers: { authorization: `Bearer ${operatorToken}` } })
    const { result } = await answer.json() as { result: { apiKeys: { dayCharges: { hours: { count: number, complete: boolean }[] }[] }[] } }
    return result.apiKeys.flatMap(({ dayCharges }) => dayCharges.flatMap(({ hours }) => hours.map(({ count, complete }) => [count, complete])))
  }
  await world.say(saidRecords({ streamId: one, seq: 3, watermarkMs: hourStartMs(hour) + 5, hours: { [hour]: [3, 3] } }))
  await world.publish(0, [rowRecord({ memberId: 7, apiEndpointId: 11, hour, count: 2 }), ...countedRecords({ streamId: one, appliedSeq: 2, hours: { [hour]: { billable: 2 } } })])
  await eventually('the bill has it', async () => (await shown() as unknown[]).length === 1)
  assert.deepEqual(await shown(), [[2, false]])
  await world.say(saidRecords({ streamId: one, seq: 3, watermarkMs: hourStartMs(hour + 1), hours: { [hour]: [3, 3] } }))
  await eventually('the next hour waits for what is not counted', async () => /not counted yet/.test((await billing.completeness()).holds.map(({ reason }) => reason).join()))
  assert.deepEqual(await shown(), [[2, false]])
  await world.publish(0, [rowRecord({ memberId: 7, apiEndpointId: 11, hour, count: 3 }), ...countedRecords({ streamId: one, appliedSeq: 3, hours: { [hour]: { billable: 3 } } })])
  await completeBefore(billing, hour + 1)
  assert.deepEqual(await shown(), [[3, true]])
  const metrics = new Map((await billing.metrics()).map(({ name, values }) => [name, values[0]?.value]))
  assert.equal(metrics.get('tollgate_complete_before_timestamp_seconds'), hourStartMs(hour + 1) / 1000)
  assert.equal(metrics.get('tollgate_conservation_differences'), 0)
  for (const name of ['tollgate_ledger_current', 'tollgate_ledger_steps_total', 'tollgate_ledger_behind_partitions', 'tollgate_ledger_missing_segments', 'tollgate_hourly_log_malformed_total', 'tollgate_hourly_log_dead_letters_lost_total', 'tollgate_completeness_holding_gateways', 'tollgate_gateway_clocks_ahead_total', 'tollgate_billing_answers_total']) assert.ok(metrics.has(name), name)
  const again = await start(t, world, 'two')
  await completeBefore(again.billing, hour + 1)
})

test('gateways are listed with what they hold back, and retired when they are dead', async (t) => {
  const world = new BillingWorld(t, kafka, 1)
  await world.makeTopics()
  const { billing } = await start(t, world)
  await isReady(billing)
  const handlers = gatewayHandlers(billing)
  const list = async (): Promise<GatewayListView> => await handlers['gateway.list']?.({}) as GatewayListView
  const retire = async (given: object): Promise<unknown> => await handlers['gateway.retire']?.({ reason: 'its machine is gone', ...given })
  const lookOf = async (): Promise<unknown[]> => (await list()).gateways.map(({ gatewayId, state, openStreams, streams, uncounted }) => [gatewayId, state, openStreams, streams, uncounted])
  await world.say([
    ...saidRecords({ streamId: one, seq: 3, watermarkMs: hourStartMs(hour) + 5, hours: { [hour]: [2, 3] } }),
    ...saidRecords({ gatewayId: 'gateway-2', streamId: two, watermarkMs: hourStartMs(hour + 1) }),
    ...saidRecords({ gatewayId: 'gateway-3', streamId: streamOf(3), state: 'closed' })
  ])
  await world.publish(0, countedRecords({ streamId: one, appliedSeq: 2, hours: { [hour]: { billable: 2 } } }))
  await eventually('all are known', async () => (await list()).gateways.length === 3)
  await eventually('two are counted', async () => JSON.stringify(await lookOf()) === JSON.stringify([['gateway-1', 'open', 1, 1, 1], ['gateway-2', 'open', 1, 1, 0], ['gateway-3', 'closed', 0, 1, 0]]))
  await eventually('the first one holds back', async () => (await list()).gateways[0]?.holds.length === 1)
  await assert.rejects(retire({ gatewayId: 'nobody' }), { code: 'GATEWAY_UNKNOWN' })
  await assert.rejects(retire({ gatewayId: 'gateway-1' }), { code: 'GATEWAY_ALIVE' })
  await assert.rejects(retire({ gatewayId: 'gateway-1', reason: ' ' }), { code: 'ARGUMENT_INVALID' })
  assert.equal((await retire({ gatewayId: 'gateway-1', isForced: true, isLost: true }) as { isLost: boolean }).isLost, true)
  await completeBefore(billing, hour + 1)
  const [gone] = (await list()).gateways
  assert.deepEqual([gone?.state, gone?.retirement?.reason, gone?.retirement?.isLost, gone?.countedBefore], ['retired', 'its machine is gone', true, null])
  await world.say(saidRecords({ streamId: streamOf(4), watermarkMs: hourStartMs(hour) + 7 }))
  await completeBefore(billing, hour)
  assert.equal((await list()).gateways[0]?.state, 'open')
})

test('a silent gateway is retired; what it has not sent must be given up by name', async (t) => {
  const world = new BillingWorld(t, kafka, 1)
  await world.makeTopics()
  const memory = new SharedArrayBuffer(8)
  const clock = new BigInt64Array(memory)
  Atomics.store(clock, 0, BigInt(Date.now()))
  const ports = await freePorts(2)
  const billing = await startClusterBilling({ environment: { logLevel: 'silent', clock: { kind: 'shared', memory }, crashPoint: undefined }, options: world.options({ ports }), onDeath: () => {} })
  t.after(() => billing.stop())
  await isReady(billing)
  await world.say(saidRecords({ streamId: one, seq: 3, watermarkMs: hourStartMs(hour) + 5, hours: { [hour]: [2, 3] } }))
  await world.publish(0, countedRecords({ streamId: one, appliedSeq: 2, hours: { [hour]: { billable: 2 } } }))
  const retire = async (isLost: boolean): Promise<unknown> => await billing.retire({ gatewayId: 'gateway-1', reason: 'r', isLost, isForced: false })
  await eventually('it is known and alive', async () => { await assert.rejects(retire(false), { code: 'GATEWAY_ALIVE' }); return true })
  Atomics.store(clock, 0, BigInt(Date.now() + 120_000))
  await assert.rejects(retire(false), { code: 'GATEWAY_UNAPPLIED' })
  await world.publish(0, countedRecords({ streamId: one, appliedSeq: 3, hours: { [hour]: { billable: 3 } } }))
  await eventually('all is counted', async () => await retire(false))
  await eventually('it is retired', async () => (await billing.gateways()).gateways[0]?.state === 'retired')
})

test('verify, acknowledge and rebuild cross the threads and the socket', async (t) => {
  const world = new BillingWorld(t, kafka, 1)
  await world.makeTopics()
  const { billing } = await start(t, world)
  await isReady(billing)
  await world.say(saidRecords({ streamId: one, seq: 1, watermarkMs: hourStartMs(hour + 1), hours: { [hour]: [2, 1] } }))
  const handlers = clusterProofHandlers(billing)
  const verify = async (): Promise<VerifyView> => JSON.parse(JSON.stringify(await handlers['verify']?.({ waitS: 0 }))) as VerifyView
  await eventually('what the gateway said is there', async () => (await verify()).rows.length === 1)
  const report = await verify()
  assert.deepEqual([report.exitCode, report.rows[0]?.answered, report.unchecked.length, report.warnings], [1, 2, 1, []])
  const kept = await handlers['verify.acknowledge']?.({ gatewayId: 'gateway-1', hour: report.rows[0]?.hour, reason: 'seen' }) as { reason: string }
  assert.equal(kept.reason, 'seen')
  assert.equal((await verify()).exitCode, 2)
  await assert.rejects(async () => await handlers['rebuild']?.({ apply: false }), { code: 'REBUILD_REFUSED', message: /`aggregators` is empty/ })
  await assert.rejects(async () => await handlers['rebuild']?.({ apply: true }), { code: 'ARGUMENT_INVALID', message: /--apply is for one machine/ })
})

test('Kafka away: bills go on as they are, and it is said; back again, all goes on', async (t) => {
  const world = new BillingWorld(t, kafka, 1)
  await world.makeTopics()
  await world.publish(0, [rowRecord({ memberId: 7, apiEndpointId: 11, hour, count: 2 })])
  const { billing } = await start(t, world)
  await isReady(billing)
  await kafka.kill(1)
  t.after(async () => { if (!kafka.isRunning(1)) await kafka.start(1) })
  await eventually('it is noticed', async () => !(await billing.health()).isReady, { withinMs: 60_000 })
  assert.equal((await billing.totals()).count, 2)
  await kafka.start(1)
  await isReady(billing)
  await world.publish(0, [rowRecord({ memberId: 7, apiEndpointId: 11, hour, count: 5 })])
  await eventually('new counts come', async () => (await billing.totals()).count === 5)
})
