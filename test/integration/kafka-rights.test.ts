// Brokers with an authorizer: each right that docs/cluster.md lists is needed, and named where it is missing; those of a
// gateway are enough for its parts, and nothing else can be done with them.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { remedyOf } from '../../src/domain/errors.ts'
import { hourlyTopics, hourlyTopicSpecs, ownerTransactionalId } from '../../src/hourly-log/kafka-topics.ts'
import { JournalState } from '../../src/journal/memory.ts'
import { openKafka } from '../../src/kafka/client.ts'
import type { KafkaClient } from '../../src/kafka/port.ts'
import { requireTopics, transactionStateSpec } from '../../src/kafka/topics.ts'
import { startShipper } from '../../src/shipper/start.ts'
import { usageTopics, usageTopicSpecs } from '../../src/usage-log/kafka-topics.ts'
import { eventually } from '../helpers/eventually.ts'
import { allow, rightsOf, withdraw } from '../helpers/kafka-rights.ts'
import type { KafkaRole, Right } from '../helpers/kafka-rights.ts'
import { shipperOptions, startCounter, startRigJournal, startShipperRig, temporaryFolder } from '../helpers/shipper-rig.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'
import type { RunningKafka } from '../services/kafka.ts'

const roles: readonly KafkaRole[] = ['gateway', 'aggregator', 'billing']
const kafka = await startKafka(undefined, { sasl: true, otherUsers: roles })
after(() => kafka.close())
const administrator = openKafka(kafka.options('administrator'))
after(() => administrator.close())
/** What a gateway's parts are given. */
const asGateway: RunningKafka = { ...kafka, options: (clientId) => kafka.options(clientId, 'gateway') }
const partitions = 1
await administrator.openAdmin().createTransactionState()
await administrator.openAdmin().setSettings('__transaction_state', { 'flush.messages': '1' })

interface World { readonly prefix: string, readonly rights: readonly Right[], readonly client: KafkaClient }

/** Topics of its own, and all rights that the list has for the role, whose user has its name. */
async function openWorld (t: TestContext, role: KafkaRole = 'gateway'): Promise<World> {
  const prefix = uniquePrefix()
  const options = { prefix, partitions, minInsyncReplicas: 1 }
  await kafka.makeTopics([...usageTopicSpecs(options), ...hourlyTopicSpecs(options)])
  const rights = rightsOf(role, prefix)
  await allow(kafka, role, rights)
  const client = openKafka(kafka.options(role, role))
  t.after(() => client.close())
  await eventually('the rights are known', async () => { await lookAtTopics({ prefix, client }); return true })
  return { prefix, rights, client }
}

async function lookAtTopics ({ prefix, client }: Pick<World, 'prefix' | 'client'>): Promise<void> {
  const options = { prefix, partitions, minInsyncReplicas: 1 }
  await requireTopics(client.openAdmin(), [...usageTopicSpecs(options), ...hourlyTopicSpecs(options), transactionStateSpec(1)], { replicationFactor: 1, alike: [], broker: '' })
}

async function send ({ client }: World, topic: string): Promise<void> {
  const producer = client.openPartitionProducer({ topic, partition: 0 })
  try { await producer.send([{ key: 'key', value: '{}' }]) } finally { await producer.close() }
}

async function read ({ client }: World, topic: string): Promise<void> {
  const reader = client.openPartitionReader({ topic, partition: 0, isolation: 'committed' })
  try { await reader.read({ offset: 0, bytesMax: 1_000, waitMs: 0 }) } finally { await reader.close() }
}

const denied = (message: RegExp | string): { readonly code: string, readonly message: RegExp } => ({ code: 'KAFKA_DENIED', message: new RegExp(message) })

test('with these rights a gateway says hello, ships, is trimmed, and ends', async (t) => {
  const { prefix } = await openWorld(t)
  const counter = await startCounter(t, kafka, prefix)
  const rig = await startShipperRig(t, asGateway, { prefix, gatewayId: 'gateway-1', partitions })
  await rig.offer(4_000)
  await eventually('all has arrived', () => counter.counted.size === 4_000)
  const state = new JournalState(rig.journal.reader.state)
  await counter.report()
  await eventually('what is archived is recycled', () => state.oldestSegment > 1)
  assert.deepEqual(await rig.shipper.health(), { isReady: true, reasons: [] })
  await rig.stop()
})

/** Does what takes the right. */
async function use (world: World, { operation, kind, name }: Right): Promise<void> {
  const { client, prefix } = world
  if (kind === 'transactional id') { await (await client.openTransactionalPublisher({ transactionalId: name.replace('*', '0'), transactionTimeoutMs: 10_000 })).close(); return }
  if (kind === 'group') { await join(client, name, usageTopics(prefix).usage); return }
  switch (operation) {
    case 'Read': await read(world, name); break
    case 'Write': await send(world, name); break
    case 'Delete': await client.openAdmin().deleteRecordsBefore(name, 0, 0); break
    case 'Describe': case 'DescribeConfigs': await lookAtTopics(world); break
  }
}

async function join (client: KafkaClient, groupId: string, topic: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const membership = client.joinGroup({ groupId, topic, memberName: 'one', onAssigned: () => { resolve() }, onFailure: reject })
  try { await promise } finally { await membership.leave() }
}

for (const role of roles) {
  test(`each right of ${role} is needed, and named where it is missing`, async (t) => {
    const world = await openWorld(t, role)
    for (const right of world.rights) {
      const { operation, kind, name } = right
      await use(world, right)
      // Whoever may do anything else to a topic may describe it.
      const implied = operation === 'Describe' ? world.rights.filter((each) => each.kind === kind && each.name === name && !each.operation.startsWith('Describe')) : []
      await withdraw(kafka, role, [right, ...implied])
      const named = operation.startsWith('Describe') ? 'Describe and DescribeConfigs' : operation
      await eventually(`without ${operation} on ${name} it is denied`, async () => {
        await assert.rejects(use(world, right), denied(`our user needs the right ${named} on the ${kind} ${name.replace('*', '0').replaceAll('.', '\\.')}`))
        return true
      })
      await allow(kafka, role, [right, ...implied])
      await eventually(`${operation} on ${name} is given back`, async () => { await use(world, right); return true })
    }
  })
}

test('a gateway can\'t write, delete or make what others count and bill by', async (t) => {
  const world = await openWorld(t)
  const { client, prefix } = world
  const { usage, usageProgress, deadLetter } = usageTopics(prefix)
  const { hourly, deadLetter: hourlyDeadLetter } = hourlyTopics(prefix)
  await send(world, usage)
  for (const topic of [hourly, hourlyDeadLetter, usageProgress, deadLetter]) await assert.rejects(send(world, topic), denied(`Write on the topic ${topic}`))
  for (const topic of [usage, hourly]) await assert.rejects(read(world, topic), denied(`Read on the topic ${topic}`))
  await assert.rejects(client.openTransactionalPublisher({ transactionalId: ownerTransactionalId(prefix, 0), transactionTimeoutMs: 10_000 }), denied('Write on the transactional id'))
  await assert.rejects(client.openAdmin().deleteRecordsBefore(usage, 0, 1), denied(`Delete on the topic ${usage}`))
  await assert.rejects(client.openAdmin().setSettings(hourly, { 'cleanup.policy': 'delete' }), denied(`AlterConfigs on the topic ${hourly}`))
  await assert.rejects(join(client, `${prefix}tollgate-aggregators`, usage), denied('Read on the group'))
  const offsets = await Promise.all([usage, hourly, hourlyDeadLetter, usageProgress, deadLetter].map(async (topic) => (await administrator.openAdmin().offsets(topic))[0]))
  assert.deepEqual(offsets, [{ startOffset: 0, endOffset: 1 }, ...Array.from({ length: 4 }, () => ({ startOffset: 0, endOffset: 0 }))])
})

for (const operation of ['Read', 'Write'] as const) {
  test(`a new gateway without ${operation} on gateway-progress does not start: at once, and it says what to do`, async (t) => {
    const { prefix, rights } = await openWorld(t)
    const { gatewayProgress } = usageTopics(prefix)
    await withdraw(kafka, 'gateway', rights.filter((right) => right.operation === operation && right.name === gatewayProgress))
    const options = { prefix, gatewayId: 'gateway-1', partitions }
    const folder = temporaryFolder()
    const { journal } = await startRigJournal(t, options, folder)
    // Longer than the test may take: nobody waits for it.
    const given = shipperOptions(asGateway, { ...options, shipper: { helloTimeoutMs: 3_600_000 } }, folder)
    const starting = startShipper({ options: given, journal: journal.reader, environment: { logLevel: 'silent', clock: { kind: 'system' }, crashPoint: undefined }, onDeath: () => {} })
    await assert.rejects(starting, denied(`${operation} on the topic ${gatewayProgress}`))
    assert.match(String(remedyOf('KAFKA_DENIED')), /give the user in the brokers the right that the message names/)
  })
}

test('a gateway that loses a right keeps what it can\'t send, says so, and sends it when it may again', async (t) => {
  const { prefix, rights } = await openWorld(t)
  const { usage } = usageTopics(prefix)
  const writing = rights.filter(({ operation, name }) => operation === 'Write' && name === usage)
  const counter = await startCounter(t, kafka, prefix)
  const rig = await startShipperRig(t, asGateway, { prefix, gatewayId: 'gateway-1', partitions })
  await rig.offer(100)
  await eventually('the first events have arrived', () => counter.counted.size === 100)
  await withdraw(kafka, 'gateway', writing)
  await rig.offer(1_000)
  await eventually('the missing right is told', async () => {
    const { isReady, reasons } = await rig.shipper.health()
    return isReady && reasons.some((reason) => reason.includes(`our user needs the right Write on the topic ${usage}`))
  })
  await allow(kafka, 'gateway', writing)
  await eventually('all has arrived', () => counter.counted.size === 1_100, { withinMs: 60_000 })
  await eventually('the recovery is told', async () => (await rig.shipper.health()).reasons.length === 0)
  assert.equal(counter.gaps.size, 0)
})
