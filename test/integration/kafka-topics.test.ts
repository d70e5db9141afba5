// Topics made and checked against a real broker, by the functions and by the command.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { openKafka } from '../../src/kafka/client.ts'
import type { KafkaAdmin, TopicSpec } from '../../src/kafka/port.ts'
import { checkTopics, createTopics, requireTopics, transactionStateSpec } from '../../src/kafka/topics.ts'
import { usageTopicSpecs } from '../../src/usage-log/kafka-topics.ts'
import { makeCliFolder } from '../helpers/cli.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'

const kafka = await startKafka()
after(() => kafka.close())
const broker = kafka.brokers[0] as string

function adminOf (t: TestContext): KafkaAdmin {
  const client = openKafka(kafka.options('topics-test'))
  t.after(() => client.close())
  return client.openAdmin()
}

test('missing topics are told and made; then nothing is wrong and nothing is done again', async (t) => {
  const admin = adminOf(t)
  const prefix = uniquePrefix()
  const specs = [...usageTopicSpecs({ prefix, partitions: 3, minInsyncReplicas: 1 }), transactionStateSpec(1)]
  const check = { replicationFactor: 1, alike: [`${prefix}api-usage-trace`, `${prefix}usage-progress`], broker }
  const missing = await checkTopics(admin, specs.slice(0, 4), check)
  assert.deepEqual(missing.map(({ setting, remedy }) => [setting, remedy]), Array.from({ length: 4 }, () => ['existence', 'Run: tollgate topics create']))
  await assert.rejects(requireTopics(admin, specs, check), { code: 'TOPICS_WRONG', message: new RegExp(`${prefix}usage-progress: existence is not there`) })
  const done = await createTopics(admin, specs, 1)
  assert.equal(done.length, 5)
  assert.ok(done.includes(`made ${prefix}api-usage-trace: 3 partitions, 1 copies`), done.join('\n'))
  assert.deepEqual(await checkTopics(admin, specs, check), [])
  await requireTopics(admin, specs, check)
  assert.deepEqual(await createTopics(admin, specs, 1), [])
  const facts = await admin.topic(`${prefix}usage-progress`)
  assert.deepEqual([facts?.partitions, facts?.replicationFactor, facts?.settings['cleanup.policy'], facts?.settings['flush.messages']], [3, 1, 'compact', '1'])
  assert.equal((await admin.topic('__transaction_state'))?.settings['flush.messages'], '1')
})

test('each wrong setting is told by itself, with the command that mends it', async (t) => {
  const admin = adminOf(t)
  const name = `${uniquePrefix()}wrong`
  const spec: TopicSpec = {
    name,
    partitions: 4,
    settings: { 'cleanup.policy': 'compact', 'flush.messages': '1', 'retention.ms': '-1', 'message.timestamp.type': 'LogAppendTime', 'unclean.leader.election.enable': 'false' },
    minimums: { 'min.insync.replicas': 2 },
    mayHaveMorePartitions: false
  }
  await kafka.makeTopics([{ ...spec, partitions: 2, settings: { 'cleanup.policy': 'compact,delete', 'unclean.leader.election.enable': 'true' }, minimums: { 'min.insync.replicas': 1 } }])
  const problems = await checkTopics(admin, [spec], { replicationFactor: 3, alike: [], broker })
  assert.deepEqual(problems.map(({ setting, found, wanted }) => [setting, found, wanted]), [
    ['partitions', '2', '4'],
    ['replication.factor', '1', '3 or more'],
    ['cleanup.policy', 'compact,delete', 'compact'],
    ['flush.messages', '9223372036854775807', '1'],
    ['retention.ms', '604800000', '-1'],
    ['message.timestamp.type', 'CreateTime', 'LogAppendTime'],
    ['unclean.leader.election.enable', 'true', 'false'],
    ['min.insync.replicas', '1', '2 or more']
  ])
  assert.equal(problems.find(({ setting }) => setting === 'flush.messages')?.remedy, `Run: kafka-configs.sh --bootstrap-server ${broker} --alter --entity-type topics --entity-name ${name} --add-config flush.messages=1`)
  await admin.setSettings(name, { 'flush.messages': '1', 'cleanup.policy': 'compact' })
  assert.equal((await checkTopics(admin, [spec], { replicationFactor: 3, alike: [], broker })).length, 6)
  const more = await checkTopics(admin, [{ ...spec, partitions: 1 }], { replicationFactor: 1, alike: [], broker })
  assert.match(more.find(({ setting }) => setting === 'partitions')?.remedy ?? '', /can't take partitions away/)
})

test('partitions grow on every topic that belongs together; unequal numbers are told', async (t) => {
  const admin = adminOf(t)
  const prefix = uniquePrefix()
  const specsOf = (partitions: number): readonly TopicSpec[] => usageTopicSpecs({ prefix, partitions, minInsyncReplicas: 1 })
  const check = { replicationFactor: 1, alike: [`${prefix}api-usage-trace`, `${prefix}usage-progress`], broker }
  await createTopics(admin, specsOf(2), 1)
  assert.deepEqual(await createTopics(admin, specsOf(4), 1), [`${prefix}api-usage-trace: 2 partitions are now 4`, `${prefix}usage-progress: 2 partitions are now 4`])
  assert.deepEqual(await checkTopics(admin, specsOf(4), check), [])
  assert.deepEqual(await checkTopics(admin, specsOf(2), check), [], 'more of them than asked for, and the same everywhere')
  await admin.addPartitions(`${prefix}api-usage-trace`, 6)
  assert.deepEqual((await checkTopics(admin, specsOf(4), check)).map(({ topic, setting, found, wanted }) => [topic, setting, found, wanted]), [[`${prefix}usage-progress`, 'partitions', '4', `6, as many as ${prefix}api-usage-trace`]])
})

test('what the brokers refuse is told with their reason', async (t) => {
  const admin = adminOf(t)
  const spec: TopicSpec = { name: `${uniquePrefix()}refused`, partitions: 1, settings: {}, minimums: {}, mayHaveMorePartitions: false }
  await assert.rejects(admin.createTopic(spec, 3), { code: 'KAFKA_REFUSED', message: /INVALID_REPLICATION_FACTOR/ })
  await assert.rejects(admin.createTopic({ ...spec, settings: { 'no.such.setting': 'x' } }, 1), { code: 'KAFKA_REFUSED', message: /no\.such\.setting/ })
  assert.equal(await admin.topic(spec.name), undefined)
  await assert.rejects(admin.offsets(spec.name), { code: 'KAFKA_TOPIC_GONE' })
})

test('tollgate topics check and create', async (t) => {
  const prefix = uniquePrefix()
  const yaml = `kafka:\n  brokers: ["${broker}"]\n  topicPrefix: ${prefix}\n  replicationFactor: 1\n  minInsyncReplicas: 1\nusageLog:\n  partitions: 2\n`
  const cli = makeCliFolder(t, yaml)
  const before = await cli.run('topics', 'check')
  assert.equal(before.code, 1)
  assert.match(before.error, new RegExp(`warning: .kafka\\.replicationFactor. is 1: a broken disk loses what is on it`))
  assert.match(before.error, new RegExp(`${prefix}hourly-api-usage: existence is not there, wanted is 2 partitions, 1 copies\n {2}Run: tollgate topics create`))
  const created = await cli.run('topics', 'create')
  assert.equal(created.code, 0, created.error)
  assert.match(created.out, new RegExp(`made ${prefix}hourly-api-usage: 2 partitions, 1 copies`))
  assert.match(created.out, /all topics are as they must be/)
  const checked = await cli.json<{ readonly isSound: boolean, readonly topics: readonly { readonly name: string, readonly partitions: number }[] }>('topics', 'check')
  assert.equal(checked.isSound, true)
  assert.equal(checked.topics.find(({ name }) => name === `${prefix}usage-progress`)?.partitions, 2)
  assert.match((await cli.run('topics', 'create')).out, /nothing was missing/)
  assert.match((await cli.run('topics', 'check', '--help')).out, /Usage: tollgate topics check/)
})

test('the command without Kafka, and with a certificate that is none', async (t) => {
  const alone = await makeCliFolder(t).run('topics', 'check')
  assert.equal(alone.code, 1)
  assert.match(alone.error, /CONFIG_INVALID: the configuration has no `kafka`/)
  const withFile = await makeCliFolder(t, `kafka:\n  brokers: ["${broker}"]\n  tls: { caFile: prices.yaml }\n`).run('topics', 'check')
  assert.equal(withFile.code, 1)
  assert.match(withFile.error, /kafka\.tls\.caFile: .*prices\.yaml is no PEM file/)
})
