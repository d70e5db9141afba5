// Rights in Kafka as docs/cluster.md lists them for each role: what is written there is what the tests give.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import kafkajs from 'kafkajs'
import type { Admin } from 'kafkajs'
import type { RunningKafka } from '../services/kafka.ts'

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs

const operations = { Read: AclOperationTypes.READ, Write: AclOperationTypes.WRITE, Delete: AclOperationTypes.DELETE, Describe: AclOperationTypes.DESCRIBE, DescribeConfigs: AclOperationTypes.DESCRIBE_CONFIGS } as const
const kinds = { topic: AclResourceTypes.TOPIC, group: AclResourceTypes.GROUP, 'transactional id': AclResourceTypes.TRANSACTIONAL_ID } as const

export interface Right {
  readonly operation: keyof typeof operations
  readonly kind: keyof typeof kinds
  /** With its prefix; a `*` at its end stands for anything. */
  readonly name: string
}

export type KafkaRole = 'gateway' | 'aggregator' | 'billing'

const document = path.resolve(import.meta.dirname, '../../docs/cluster.md')

/** @param prefix `kafka.topicPrefix`, which stands before all names but the brokers' own */
export function rightsOf (role: KafkaRole, prefix: string): Right[] {
  const section = readFileSync(document, 'utf8').split('\n## ').find((text) => text.startsWith('Rights in Kafka')) ?? ''
  return section.split('\n').flatMap((line) => {
    const [, roles = '', kind = '', names = '', allowed = ''] = line.split('|').map((cell) => cell.trim())
    if (roles !== role && roles !== 'each role') return []
    return [...names.matchAll(/`([^`]+)`/g)].flatMap(([, name = '']) => allowed.split(', ').map((operation): Right => {
      if (!Object.hasOwn(operations, operation) || !Object.hasOwn(kinds, kind)) throw new Error(`docs/cluster.md: neither a right nor a resource: ${line}`)
      return { operation: operation as Right['operation'], kind: kind as Right['kind'], name: name.startsWith('__') ? name : `${prefix}${name}` }
    }))
  })
}

export async function allow (kafka: RunningKafka, username: string, rights: readonly Right[]): Promise<void> {
  await withAdmin(kafka, (admin) => admin.createAcls({ acl: rights.map((right) => aclOf(username, right)) }))
}

export async function withdraw (kafka: RunningKafka, username: string, rights: readonly Right[]): Promise<void> {
  await withAdmin(kafka, (admin) => admin.deleteAcls({ filters: rights.map((right) => aclOf(username, right)) }))
}

function aclOf (username: string, { operation, kind, name }: Right): Parameters<Admin['createAcls']>[0]['acl'][number] {
  const isPrefix = name.endsWith('*')
  return {
    principal: `User:${username}`, host: '*', operation: operations[operation], permissionType: AclPermissionTypes.ALLOW,
    resourceType: kinds[kind], resourceName: isPrefix ? name.slice(0, -1) : name, resourcePatternType: isPrefix ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL
  }
}

async function withAdmin<Result> (kafka: RunningKafka, use: (admin: Admin) => Promise<Result>): Promise<Result> {
  const admin = kafka.independent('rights').admin()
  await admin.connect()
  try { return await use(admin) } finally { await admin.disconnect() }
}
