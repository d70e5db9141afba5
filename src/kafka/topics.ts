// Are the topics as this program needs them? With other settings Kafka loses records that it has acknowledged, or throws
// them away before they are counted: said before anything is read or written, each with its remedy.
import { TollgateError } from '../domain/errors.ts'
import type { KafkaAdmin, TopicFacts, TopicSpec } from './port.ts'

export interface TopicProblem {
  readonly topic: string
  /** `partitions`, `replication.factor`, `existence`, or the name of a setting. */
  readonly setting: string
  readonly found: string
  readonly wanted: string
  readonly remedy: string
}

export interface TopicCheck {
  readonly replicationFactor: number
  /** Topics whose numbers of partitions must be the same: partition p of one belongs to partition p of the other. */
  readonly alike: readonly string[]
  /** For the commands in the remedies: `host:port`. */
  readonly broker: string
}

const transactionState = '__transaction_state'

/** The brokers' own topic of transactions: what it loses, a commit that was acknowledged can lose. */
export function transactionStateSpec (minInsyncReplicas: number): TopicSpec {
  return { name: transactionState, partitions: 1, settings: { 'cleanup.policy': 'compact', 'flush.messages': '1', 'unclean.leader.election.enable': 'false' }, minimums: { 'min.insync.replicas': minInsyncReplicas }, mayHaveMorePartitions: true }
}

/** All problems at once; none: []. @throws TollgateError KAFKA_UNREACHABLE, KAFKA_DENIED */
export async function checkTopics (admin: KafkaAdmin, specs: readonly TopicSpec[], check: TopicCheck): Promise<TopicProblem[]> {
  const problems: TopicProblem[] = []
  const found = new Map<string, TopicFacts>()
  for (const spec of specs) {
    const facts = await admin.topic(spec.name)
    if (facts === undefined) {
      problems.push({ topic: spec.name, setting: 'existence', found: 'not there', wanted: `${spec.partitions} partitions, ${check.replicationFactor} copies`, remedy: 'Run: tollgate topics create' })
      continue
    }
    found.set(spec.name, facts)
    problems.push(...layoutProblems(spec, facts, check), ...settingProblems(spec, facts, check))
  }
  return [...problems, ...unlike(check.alike, found)]
}

/** One error with all of it, for a start. @throws TollgateError TOPICS_WRONG */
export async function requireTopics (admin: KafkaAdmin, specs: readonly TopicSpec[], check: TopicCheck): Promise<void> {
  const problems = await checkTopics(admin, specs, check)
  if (problems.length > 0) throw new TollgateError('TOPICS_WRONG', problems.map(problemText).join('\n'))
}

export function problemText ({ topic, setting, found, wanted, remedy }: TopicProblem): string { return `${topic}: ${setting} is ${found}, wanted is ${wanted}. ${remedy}` }

/** Makes what is missing and adds partitions where there are too few; settings of topics that are there stay as they are, except for the brokers' own topic of transactions. @returns what was done, a sentence each */
export async function createTopics (admin: KafkaAdmin, specs: readonly TopicSpec[], replicationFactor: number): Promise<string[]> {
  const done: string[] = []
  for (const spec of specs) {
    const facts = await admin.topic(spec.name)
    if (spec.name === transactionState) done.push(...await setUpTransactionState(admin, spec, facts))
    else if (facts === undefined) {
      await admin.createTopic(spec, replicationFactor)
      done.push(`made ${spec.name}: ${spec.partitions} partitions, ${replicationFactor} copies`)
    } else if (facts.partitions < spec.partitions) {
      await admin.addPartitions(spec.name, spec.partitions)
      done.push(`${spec.name}: ${facts.partitions} partitions are now ${spec.partitions}`)
    }
  }
  return done
}

async function setUpTransactionState (admin: KafkaAdmin, { name, settings }: TopicSpec, existing: TopicFacts | undefined): Promise<string[]> {
  if (existing === undefined) await admin.createTransactionState()
  const facts = existing ?? await admin.topic(name)
  const wrong = Object.entries(settings).filter(([key, value]) => facts?.settings[key] !== value)
  if (wrong.length === 0) return []
  await admin.setSettings(name, Object.fromEntries(wrong))
  return [`${name}: ${wrong.map(([key, value]) => `${key} is now ${value}`).join(', ')}`]
}

function layoutProblems (spec: TopicSpec, { partitions, replicationFactor }: TopicFacts, check: TopicCheck): TopicProblem[] {
  const { name: topic } = spec
  const problems: TopicProblem[] = []
  if (partitions < spec.partitions) {
    problems.push({ topic, setting: 'partitions', found: String(partitions), wanted: String(spec.partitions), remedy: 'Run: tollgate topics create' })
  } else if (partitions > spec.partitions && !spec.mayHaveMorePartitions) {
    problems.push({ topic, setting: 'partitions', found: String(partitions), wanted: String(spec.partitions), remedy: `Kafka can't take partitions away. With every part of Tollgate stopped run: kafka-topics.sh --bootstrap-server ${check.broker} --delete --topic ${topic}, then: tollgate topics create` })
  }
  if (replicationFactor < check.replicationFactor) {
    problems.push({ topic, setting: 'replication.factor', found: String(replicationFactor), wanted: `${check.replicationFactor} or more`, remedy: `Add copies with kafka-reassign-partitions.sh --bootstrap-server ${check.broker}, or lower kafka.replicationFactor: then fewer broken disks lose records` })
  }
  return problems
}

function settingProblems ({ name: topic, settings, minimums }: TopicSpec, facts: TopicFacts, { broker }: TopicCheck): TopicProblem[] {
  const problem = (setting: string, value: string, wanted: string): TopicProblem => ({
    topic,
    setting,
    found: facts.settings[setting] ?? 'not known',
    wanted,
    remedy: `Run: kafka-configs.sh --bootstrap-server ${broker} --alter --entity-type topics --entity-name ${topic} --add-config ${setting}=${value}`
  })
  const wrong = Object.entries(settings).filter(([setting, value]) => facts.settings[setting] !== value)
  const low = Object.entries(minimums).filter(([setting, value]) => !(Number(facts.settings[setting]) >= value))
  return [
    ...wrong.map(([setting, value]) => problem(setting, value, value)),
    ...low.map(([setting, value]) => problem(setting, String(value), `${value} or more`))
  ]
}

function unlike (alike: readonly string[], found: ReadonlyMap<string, TopicFacts>): TopicProblem[] {
  const facts = alike.map((name) => found.get(name)).filter((each) => each !== undefined)
  const most = Math.max(...facts.map(({ partitions }) => partitions))
  return facts.filter(({ partitions }) => partitions < most).map(({ name, partitions }) => ({
    topic: name,
    setting: 'partitions',
    found: String(partitions),
    wanted: `${most}, as many as ${facts.filter((each) => each.partitions === most).map((each) => each.name).join(', ')}`,
    remedy: `Set usageLog.partitions to ${most} everywhere and run: tollgate topics create`
  }))
}
