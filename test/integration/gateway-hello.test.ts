// A gateway that the cluster doesn't know answers nothing before Kafka has its hello: an hour could be called complete
// without it. The program as it is run, on a Kafka that can be read but takes no hello; and deliberate mistakes in it,
// each of which answers.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, beforeEach, test } from 'node:test'
import { openKafka } from '../../src/kafka/client.ts'
import { usageTopics } from '../../src/usage-log/kafka-topics.ts'
import { temporaryFolder } from '../helpers/aggregator-rig.ts'
import { makeCluster } from '../helpers/cluster.ts'
import type { ClusterNode } from '../helpers/cluster.ts'
import { eventually } from '../helpers/eventually.ts'
import { mutantEnvironment } from '../helpers/source-mutants.ts'
import type { Mutant } from '../helpers/source-mutants.ts'
import { UpstreamSample } from '../helpers/upstream-sample.ts'
import { recordsOf } from '../services/kafka-records.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'

const mutants: readonly Mutant[] = [
  { name: 'nobody waits for the hello', file: 'src/shipper/start.ts', changes: [["await thread.rpc.ask<number | undefined>('hello')", 'undefined']] },
  { name: 'a hello that was sent is enough, whatever became of it', file: 'src/shipper/loop.ts', changes: [['if (shipping.statements.isOwnSaid && this.#statements.ownAppendedMs !== undefined) return', 'if (this.#statements.isSending || this.#watch.failures > 0) return']] },
  { name: 'a gateway that nobody knows serves when Kafka does not answer', file: 'src/shipper/loop.ts', changes: [['if (isAway && wasKnown)', 'if (isAway)']] },
  { name: 'the hello is asked for when the gateway already serves', file: 'src/compose/cluster.ts', changes: [
    ['  const shipper = await startShipper({', '  const shipping = startShipper({'],
    ['  draining.push(shipper)\n', ''],
    ['  if (shipper.heardMs !== undefined) await journal', "  void shipping.then((shipper) => { draining.push(shipper) })\n  if (clock.nowMs() < 0) await journal"],
    ['earliestOpenMs(shipper.heardMs, ', 'earliestOpenMs(0, ']
  ] }
]

const prefix = uniquePrefix()
const { gatewayProgress } = usageTopics(prefix)
const kafka = await startKafka(undefined)
const client = openKafka(kafka.options('settings'))
const upstream = await new UpstreamSample().open()
after(async () => {
  upstream.close()
  await client.close()
  await kafka.close()
})
const cluster = await makeCluster({ folder: temporaryFolder({ after: (remove) => { after(remove as () => void) } }, 'hello'), kafka, redis: undefined, gateways: 1 + mutants.length, aggregators: 0, billings: 0, partitions: 1, topicPrefix: prefix, upstreamUrl: upstream.url })

/** A topic whose records may have one byte can be read, and takes nothing. */
async function allowBytes (count: number): Promise<void> { await client.openAdmin().setSettings(gatewayProgress, { 'max.message.bytes': String(count) }) }

async function statusOf (node: ClusterNode): Promise<number | undefined> {
  try {
    return (await fetch(`http://127.0.0.1:${node.port}/api/things/1`)).status
  } catch (error) {
    assert.equal(((error as Error).cause as { readonly code?: unknown } | undefined)?.code, 'ECONNREFUSED')
    return undefined
  }
}

/** Whether it answers, or says that it waits; for as long as that takes. */
async function runUntil (node: ClusterNode, env: Readonly<Record<string, string>>): Promise<'answers' | 'waits' | 'ended'> {
  await node.start({ isReadyAwaited: false, env })
  let hasEnded = false
  void node.program?.ended.then(() => { hasEnded = true })
  return await eventually(`${node.name} answers or waits (log: ${node.logFile})`, async () => {
    if (hasEnded) return 'ended'
    const isWaiting = readFileSync(node.logFile, 'utf8').includes('it serves when Kafka has its hello')
    if (await statusOf(node) !== undefined) return 'answers'
    return isWaiting ? 'waits' : undefined
  }, { withinMs: 60_000 })
}

beforeEach(() => allowBytes(1))

test('a new gateway answers nothing before its hello is acknowledged, and then it serves', async () => {
  const [node] = cluster.gateways as [ClusterNode]
  try {
    assert.equal(await runUntil(node, {}), 'waits')
    assert.match((await node.readiness()).text, /gateway gateway-1 has not been heard by Kafka yet/)
    await allowBytes(1_000_000)
    await node.ready()
    assert.equal(await statusOf(node), 401)
  } finally { await node.kill() }
  const [hello] = await recordsOf(kafka, gatewayProgress, { count: 1 })
  assert.match(`${hello?.key} ${hello?.value}`, /^gateway-1\b.*"state":"open"/)
})

for (const [index, mutant] of mutants.entries()) {
  test(`noticed: ${mutant.name}`, async () => {
    const node = cluster.gateways[1 + index] as ClusterNode
    try { assert.equal(await runUntil(node, mutantEnvironment(mutant)), 'answers') } finally { await node.kill() }
  })
}
