// Membership in a group, against a real coordinator: every partition has one owner, few of them move, and a member that
// can't reach anybody knows by itself that it is none any more.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { openKafka } from '../../src/kafka/client.ts'
import { openCluster } from '../../src/kafka/cluster.ts'
import { joinGroup } from '../../src/kafka/group.ts'
import type { GroupMembership } from '../../src/kafka/port.ts'
import { eventually } from '../helpers/eventually.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'

const kafka = await startKafka()
after(() => kafka.close())

interface Group { readonly topic: string, readonly join: (memberName: string) => Joined }
interface Joined { readonly name: string, readonly membership: GroupMembership, readonly history: (readonly number[])[], readonly now: () => readonly number[], readonly failures: Error[] }

async function groupOf (t: TestContext, partitions: number): Promise<Group> {
  const topic = `${uniquePrefix()}dealt`
  await kafka.makeTopics([{ name: topic, partitions, settings: {}, minimums: {}, mayHaveMorePartitions: true }])
  return {
    topic,
    join: (memberName) => {
      const client = openKafka(kafka.options(memberName))
      t.after(() => client.close())
      const history: (readonly number[])[] = []
      const failures: Error[] = []
      const membership = client.joinGroup({ groupId: `${topic}-group`, topic, memberName, sessionTimeoutMs: 3_000, heartbeatMs: 250, onAssigned: (own) => { history.push(own) }, onFailure: (error) => { failures.push(error) } })
      return { name: memberName, membership, history, failures, now: () => history.at(-1) ?? [] }
    }
  }
}

/** Resolves when every partition has exactly one owner and nobody has more than one above another. */
async function dealtOut (members: readonly Joined[], partitions: number): Promise<void> {
  await eventually(`${partitions} partitions are dealt out to ${members.map(({ name }) => name).join(', ')}`, () => {
    const all = members.flatMap((member) => member.now())
    const sizes = members.map((member) => member.now().length)
    return members.every(({ membership }) => membership.isMember()) && all.length === partitions && new Set(all).size === partitions && Math.max(...sizes) - Math.min(...sizes) <= 1
  })
}

test('partitions are dealt out evenly; a member that comes takes only its share, one that leaves gives only its own', async (t) => {
  const { join } = await groupOf(t, 12)
  const [a, b] = [join('a'), join('b')]
  await dealtOut([a, b], 12)
  const before = new Map([a, b].map((member) => [member, member.now()]))
  const c = join('c')
  await dealtOut([a, b, c], 12)
  for (const member of [a, b]) assert.deepEqual(member.now().filter((partition) => !before.get(member)?.includes(partition)), [], `${member.name} got one that it had not`)
  const ofC = c.now()
  const ofA = a.now()
  await c.membership.leave()
  assert.equal(c.membership.isMember(), false)
  await dealtOut([a, b], 12)
  assert.deepEqual(ofA.filter((partition) => !a.now().includes(partition)), [], 'a keeps what it had')

  const again = join('c')
  await dealtOut([a, b, again], 12)
  const back = again.now().filter((partition) => ofC.includes(partition))
  assert.ok(back.length >= 2, `of ${ofC.join()} came back ${back.join()}`)
})

test('partitions that are added are dealt out too', async (t) => {
  const { topic, join } = await groupOf(t, 2)
  const [a, b] = [join('a'), join('b')]
  await dealtOut([a, b], 2)
  const client = openKafka(kafka.options('admin'))
  t.after(() => client.close())
  await client.openAdmin().addPartitions(topic, 5)
  await dealtOut([a, b], 5)
})

test('who can\'t reach the coordinator for the session\'s time has nothing any more, and comes back', async (t) => {
  const { join } = await groupOf(t, 4)
  const a = join('a')
  await dealtOut([a], 4)
  kafka.pause(1)
  await eventually('the membership is lost', () => a.now().length === 0)
  assert.equal(a.membership.isMember(), false)
  kafka.resume(1)
  await dealtOut([a], 4)
  assert.ok(a.failures.length > 0, 'it was said')
})

test('a member that dies without a word is replaced after the session\'s time; Kafka\'s own tools see who is there', async (t) => {
  const { join, topic } = await groupOf(t, 4)
  const cluster = openCluster(kafka.options('dying'))
  const dying: (readonly number[])[] = []
  const membership = joinGroup(cluster, { groupId: `${topic}-group`, topic, memberName: 'dying', sessionTimeoutMs: 3_000, heartbeatMs: 250, onAssigned: (own) => { dying.push(own) }, onFailure: () => undefined })
  t.after(() => membership.leave())
  const b = join('b')
  await eventually('both have their share', () => dying.at(-1)?.length === 2 && b.now().length === 2)
  const admin = kafka.independent().admin()
  await admin.connect()
  t.after(() => admin.disconnect())
  const { groups: [described] } = await admin.describeGroups([`${topic}-group`])
  assert.deepEqual([described?.members.length, described?.protocolType, described?.protocol], [2, 'consumer', 'tollgate-by-name'])
  const startedMs = performance.now()
  cluster.close()
  await dealtOut([b], 4)
  assert.ok(performance.now() - startedMs > 1_000, 'it was waited for')
})

test('a topic that is not there yet is waited for', async (t) => {
  const topic = `${uniquePrefix()}later`
  const client = openKafka(kafka.options('early'))
  t.after(() => client.close())
  const history: (readonly number[])[] = []
  const failures: Error[] = []
  client.joinGroup({ groupId: `${topic}-group`, topic, memberName: 'early', sessionTimeoutMs: 3_000, heartbeatMs: 250, onAssigned: (own) => { history.push(own) }, onFailure: (error) => { failures.push(error) } })
  await eventually('it is said', () => failures.some(({ message }) => message.includes(topic)))
  await kafka.makeTopics([{ name: topic, partitions: 2, settings: {}, minimums: {}, mayHaveMorePartitions: true }])
  await eventually('it is dealt out', () => history.at(-1)?.length === 2)
})
