// TLS and SASL/SCRAM: what works with the right secrets, and that wrong ones are said at once and clearly, not after
// endless retries.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { openKafka } from '../../src/kafka/client.ts'
import type { KafkaClient, KafkaOptions } from '../../src/kafka/port.ts'
import { eventually } from '../helpers/eventually.ts'
import { recordsOf } from '../services/kafka-records.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'

const kafka = await startKafka(undefined, { tls: true, sasl: true })
after(() => kafka.close())
const right = kafka.options('secure-test')
const sasl = right.sasl as NonNullable<KafkaOptions['sasl']>

function clientOf (t: TestContext, options: KafkaOptions): KafkaClient {
  const client = openKafka(options)
  t.after(() => client.close())
  return client
}

async function newTopic (): Promise<string> {
  const name = `${uniquePrefix()}secure`
  await kafka.makeTopics([{ name, partitions: 1, settings: {}, minimums: {}, mayHaveMorePartitions: false }])
  return name
}

for (const mechanism of ['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const) {
  test(`with ${mechanism} over TLS everything works`, async (t) => {
    const client = clientOf(t, { ...right, sasl: { ...sasl, mechanism } })
    const topic = await newTopic()
    await client.openPartitionProducer({ topic, partition: 0 }).send([{ key: 'plain', value: '1' }])
    const publisher = await client.openTransactionalPublisher({ transactionalId: `${topic}-owner`, transactionTimeoutMs: 30_000 })
    await publisher.publish([{ topic, partition: 0, records: [{ key: 'transaction', value: '2' }] }])
    const reader = client.openPartitionReader({ topic, partition: 0, isolation: 'committed' })
    const records = await eventually('both are visible', async () => {
      const result = await reader.read({ offset: 0, bytesMax: 10_000, waitMs: 100 })
      return result.records.length === 2 ? result.records : undefined
    })
    assert.deepEqual(records.map(({ key }) => key), ['plain', 'transaction'])
    assert.equal((await client.openAdmin().topic(topic))?.partitions, 1)
    const assigned: (readonly number[])[] = []
    client.joinGroup({ groupId: `${topic}-group`, topic, memberName: 'one', onAssigned: (partitions) => { assigned.push(partitions) }, onFailure: () => undefined })
    await eventually('the group deals out', () => assigned.length > 0)
    assert.deepEqual(assigned, [[0]])
    assert.deepEqual((await recordsOf(kafka, topic, { count: 2 })).map(({ key }) => key), ['plain', 'transaction'])
  })
}

const wrongs: readonly { readonly name: string, readonly options: KafkaOptions, readonly message: RegExp }[] = [
  { name: 'a wrong password', options: { ...right, sasl: { ...sasl, password: 'not-the-password' } }, message: /SASL_AUTHENTICATION_FAILED|authentication failed/i },
  { name: 'an unknown user', options: { ...right, sasl: { ...sasl, username: 'nobody' } }, message: /SASL_AUTHENTICATION_FAILED|authentication failed/i },
  { name: 'an authority that did not sign the certificate', options: { ...right, tls: {} }, message: /certificate/i }
]
for (const { name, options, message } of wrongs) {
  test(`${name} is KAFKA_DENIED at once, whatever is tried`, async (t) => {
    const client = clientOf(t, options)
    const denied = { code: 'KAFKA_DENIED', message }
    const startedMs = performance.now()
    await assert.rejects(client.openPartitionProducer({ topic: 'any', partition: 0 }).send([{ key: 'a', value: 'b' }]), denied)
    await assert.rejects(client.openTransactionalPublisher({ transactionalId: 'any', transactionTimeoutMs: 30_000 }), denied)
    await assert.rejects(client.openPartitionReader({ topic: 'any', partition: 0, isolation: 'committed' }).read({ offset: 0, bytesMax: 1, waitMs: 0 }), denied)
    await assert.rejects(client.openAdmin().topic('any'), denied)
    const failures: Error[] = []
    client.joinGroup({ groupId: 'any', topic: 'any', memberName: 'one', onAssigned: () => undefined, onFailure: (error) => { failures.push(error) } })
    const failure = await eventually('the group says so', () => failures[0])
    assert.equal((failure as Error & { readonly code: string }).code, 'KAFKA_DENIED')
    assert.ok(performance.now() - startedMs < 20_000, 'nothing was tried for as long as an unreachable broker is')
    assert.ok(!failures.some((each) => each.message.includes(options.sasl?.password ?? sasl.password)), 'no message names the password')
  })
}

const { tls: _tls, ...withoutTls } = right
const { sasl: _sasl, ...withoutSasl } = right
for (const [name, options] of [['no TLS', withoutTls], ['no password', withoutSasl]] as const) {
  test(`${name} where it is wanted: the message says what to look at`, async (t) => {
    const reader = clientOf(t, options).openPartitionReader({ topic: 'any', partition: 0, isolation: 'committed', timeoutMs: 1_000 })
    await assert.rejects(reader.read({ offset: 0, bytesMax: 1, waitMs: 0 }), { code: 'KAFKA_UNREACHABLE', message: /kafka\.tls and kafka\.sasl/ })
  })
}
