// How the settings of a cluster must fit together: each rule with the sentence that says why.
import { roles as allRoles } from './role.ts'
import type { Role } from './role.ts'
import { checkPair } from './pem-file.ts'
import type { Checked } from './problem.ts'
import type { Config } from './schema.ts'
import { fileProblem } from './secret-file.ts'

export function checkCluster (config: Config, roles: readonly Role[], checked: Checked): void {
  const { kafka } = config
  if (kafka === undefined) {
    if (roles.length > 0 && roles.length < allRoles.length) checked.report(['kafka'], `no Kafka, and this process is to be ${roles.join(' and ')} alone`, 'parts in processes of their own meet in Kafka: add `kafka: { brokers: [pi1:9092] }`, or run all roles in one process')
    return
  }
  if (checked.isSound(['kafka'])) checkKafka(kafka, checked)
  if (roles.includes('aggregator') && checked.isSound(['archive'])) checkAggregator(config, checked)
  if (roles.includes('billing') && config.aggregators.length === 0) checked.warn('aggregators is empty: billing can\'t fetch closed segments of hourly counts, and `tollgate verify` can\'t look at the archive')
  if (roles.includes('gateway') && config.redis === undefined) checked.warn('redis isn\'t given: each gateway has members, keys and rate limits of its own')
}

function checkKafka ({ brokers, minInsyncReplicas, replicationFactor, tls }: NonNullable<Config['kafka']>, { report, warn }: Checked): void {
  if (brokers.length === 0) report(['kafka', 'brokers'], 'no broker', 'name at least one: `brokers: [pi1:9092, pi2:9092]`')
  if (minInsyncReplicas > replicationFactor) report(['kafka', 'minInsyncReplicas'], `${minInsyncReplicas} copies can't be written when there are ${replicationFactor}`, 'nothing could ever be written: lower it, or raise `kafka.replicationFactor`')
  if (replicationFactor === 1) warn('kafka.replicationFactor is 1: a broken disk loses what is on it and not yet archived')
  if (tls === undefined) return
  checkPair(['kafka', 'tls'], tls, report)
  for (const [key, isSecret] of [['caFile', false], ['certificateFile', false], ['keyFile', true]] as const) {
    const file = tls[key]
    const problem = file === undefined ? undefined : fileProblem(file, { isSecret })
    if (problem !== undefined) report(['kafka', 'tls', key], problem.message, problem.remedy)
  }
}

function checkAggregator ({ archive, operator }: Config, { report, warn }: Checked): void {
  if (archive.peers.length < archive.copies - 1) {
    report(['archive', 'peers'], `${archive.copies} copies of each file, and ${archive.peers.length} peers to keep one`, 'a file on one machine alone dies with its disk: name other aggregators under `archive.peers`, or say `archive.copies: 1`')
  }
  if (operator.tokens.length === 0) warn('operator.tokens is empty: nobody can read this aggregator\'s files, so billing can\'t fetch closed segments and `tollgate verify` can\'t look at its archive')
}
