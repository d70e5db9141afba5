// `tollgate topics`: the topics of a cluster, made and checked against the configuration.
import { clusterTopics, kafkaOptionsOf } from '../config/kafka-options.ts'
import type { Config } from '../config/schema.ts'
import { openKafka } from '../kafka/client.ts'
import type { KafkaAdmin } from '../kafka/port.ts'
import { checkTopics, createTopics } from '../kafka/topics.ts'
import type { TopicProblem } from '../kafka/topics.ts'
import { configOption, jsonOption } from './arguments.ts'
import type { Arguments } from './arguments.ts'
import { commandGroup, commandOf, configOf, exitCodes, printJson } from './command.ts'
import type { CommandContext } from './command.ts'
import { tableText } from './table.ts'

const options = { json: jsonOption, config: configOption }

const create = commandOf({
  name: 'tollgate topics create',
  summary: 'Makes the topics that are missing, adds partitions where `usageLog.partitions` was raised, and checks all.',
  options,
  details: 'Settings of topics that are there already stay as they are: tollgate topics check says how to change them.'
}, (given, context) => withAdmin(given, context, async (admin, config) => {
  const { specs, check } = clusterTopics(config)
  const done = await createTopics(admin, specs, check.replicationFactor)
  const problems = await checkTopics(admin, specs, check)
  if (given.has('json')) printJson(context, { done, problems })
  else {
    for (const sentence of done) context.io.out(`${sentence}\n`)
    if (done.length === 0) context.io.out('nothing was missing\n')
    printProblems(context, problems)
  }
  return problems.length === 0 ? exitCodes.ok : exitCodes.failed
}))

const check = commandOf({
  name: 'tollgate topics check',
  summary: 'Checks that every topic is there with the partitions, copies and settings that lose nothing.',
  options
}, (given, context) => withAdmin(given, context, async (admin, config) => {
  const { specs, check: against } = clusterTopics(config)
  const problems = await checkTopics(admin, specs, against)
  if (given.has('json')) printJson(context, { isSound: problems.length === 0, topics: await foundTopics(admin, specs.map(({ name }) => name)), problems })
  else {
    const found = await foundTopics(admin, specs.map(({ name }) => name))
    context.io.out(tableText([{ title: 'topic' }, { title: 'partitions', isRight: true }, { title: 'copies', isRight: true }, { title: 'problems', isRight: true }], found.map(({ name, partitions, replicationFactor }) => [
      name, String(partitions ?? '-'), String(replicationFactor ?? '-'), String(problems.filter(({ topic }) => topic === name).length)
    ])))
    printProblems(context, problems)
  }
  return problems.length === 0 ? exitCodes.ok : exitCodes.failed
}))

export const topicsCommand = commandGroup('tollgate topics', 'The Kafka topics of a cluster.', {
  create: { summary: 'makes what is missing', command: create },
  check: { summary: 'says what is wrong with them, and the remedy', command: check }
})

async function withAdmin (given: Arguments, context: CommandContext, use: (admin: KafkaAdmin, config: Config) => Promise<number>): Promise<number> {
  const config = configOf(given, context)
  const client = openKafka(kafkaOptionsOf(config, 'tollgate-topics'))
  try {
    if (config.kafka?.replicationFactor === 1) context.io.error('warning: `kafka.replicationFactor` is 1: a broken disk loses what is on it\n')
    return await use(client.openAdmin(), config)
  } finally {
    await client.close()
  }
}

async function foundTopics (admin: KafkaAdmin, names: readonly string[]): Promise<{ readonly name: string, readonly topicId?: string, readonly partitions?: number, readonly replicationFactor?: number }[]> {
  const found = []
  for (const name of names) {
    const facts = await admin.topic(name)
    found.push(facts === undefined ? { name } : { name, topicId: facts.topicId, partitions: facts.partitions, replicationFactor: facts.replicationFactor })
  }
  return found
}

function printProblems ({ io }: CommandContext, problems: readonly TopicProblem[]): void {
  if (problems.length === 0) io.out('all topics are as they must be\n')
  for (const { topic, setting, found, wanted, remedy } of problems) io.error(`${topic}: ${setting} is ${found}, wanted is ${wanted}\n  ${remedy}\n`)
}
