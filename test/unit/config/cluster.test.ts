// The settings of a cluster: what must be there, and what must fit together.
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { ConfigError, loadConfig } from '../../../src/config/load.ts'
import type { LoadedConfig } from '../../../src/config/load.ts'
import type { Role } from '../../../src/config/role.ts'
import { assertExplained, machine, openConfigFolder, soundConfig } from '../../helpers/config-folder.ts'

const kafka = 'kafka: { brokers: ["pi1:9092"] }\n'
const redis = 'redis: { host: pi1 }\n'
const files = 'operator: { tokens: [{ name: cluster, tokenFile: payment.token }] }\n'
const alone = 'archive: { copies: 1 }\n'

function load (t: TestContext, config: string, roles?: readonly Role[]): LoadedConfig {
  const { file } = openConfigFolder(t, config)
  return loadConfig({ file, env: {}, machine, ...(roles === undefined ? {} : { roles }) })
}

function problemsOf (t: TestContext, config: string, roles?: readonly Role[]): string[] {
  try {
    load(t, config, roles)
    return []
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    assertExplained(error)
    return error.problems.map(({ path: at, message }) => `${at}: ${message}`)
  }
}

test('a role of its own needs Kafka, and says so', (t) => {
  assert.match(problemsOf(t, soundConfig, ['gateway']).join(), /^kafka: no Kafka, and this process is to be gateway alone/)
  assert.deepEqual(problemsOf(t, soundConfig + kafka + redis, ['gateway']), [])
})

test('each role keeps its state apart and has an operator port of its own', (t) => {
  const found = (roles: readonly Role[]): readonly [string, number] => {
    const { config } = load(t, soundConfig + kafka + redis + files + alone, roles)
    return [path.basename(config.state), config.operator.listen.port]
  }
  assert.deepEqual(found(['gateway']), ['role-gateway', 9464])
  assert.deepEqual(found(['aggregator']), ['role-aggregator', 9465])
  assert.deepEqual(found(['billing']), ['role-billing', 9466])
  assert.deepEqual(found(['billing', 'aggregator']), ['role-aggregator-billing', 9465])
  assert.deepEqual(found(['gateway', 'aggregator', 'billing']), ['state', 9464])
})

test('what doesn\'t fit together in a cluster is refused', (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['kafka: { brokers: [] }\n', /kafka\.brokers: no broker/],
    ['kafka: { brokers: [pi1] }\n', /kafka\.brokers\[0\]/],
    ['kafka: { brokers: ["pi1:9092"], replicationFactor: 1 }\n', /kafka\.minInsyncReplicas: 2 copies can't be written when there are 1/],
    ['kafka: { brokers: ["pi1:9092"], tls: { keyFile: payment.token } }\n', /kafka\.tls: a certificate without a key/],
    ['kafka: { brokers: ["pi1:9092"], tls: { caFile: nowhere.pem } }\n', /kafka\.tls\.caFile/]
  ]
  for (const [config, problem] of cases) assert.match(problemsOf(t, soundConfig + config + redis + files + alone).join('\n'), problem)
  assert.match(problemsOf(t, soundConfig + kafka + redis + files).join('\n'), /archive\.peers: 2 copies of each file, and 0 peers/)
  const twice = 'operator: { tokens: [{ name: a, tokenFile: payment.token }, { name: a, tokenFile: payment.token }] }\n'
  assert.match(problemsOf(t, soundConfig + kafka + redis + twice + alone).join('\n'), /operator\.tokens\[1\]\.name/)
})

test('what is odd in a cluster warns', (t) => {
  const sound = soundConfig + kafka + redis + files + alone + 'aggregators: [{ url: "http://pi2:9465", tokenFile: payment.token }]\n'
  const oneBroker = 'kafka: { brokers: ["pi1:9092"], replicationFactor: 1, minInsyncReplicas: 1 }\n'
  const cases: readonly (readonly [string, RegExp])[] = [
    [sound.replace(redis, ''), /each gateway has members, keys and rate limits of its own/],
    [sound.replace(kafka, oneBroker), /a broken disk loses/],
    [sound.replace(files, ''), /nobody can read this aggregator's files/],
    [sound.replace(/aggregators: .*\n/, ''), /can't fetch closed segments/]
  ]
  assert.deepEqual(load(t, sound).warnings, [])
  for (const [config, warning] of cases) {
    const { warnings } = load(t, config)
    assert.equal(warnings.length, 1, warnings.join('\n'))
    assert.match(warnings[0] ?? '', warning)
  }
})
