import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, loadConfig } from '../../../src/config/load.ts'
import type { Config } from '../../../src/config/schema.ts'
import { machine, openConfigFolder, soundConfig } from '../../helpers/config-folder.ts'

function loaded (file: string, env: Record<string, string>): { readonly config: Config, readonly warnings: readonly string[] } { return loadConfig({ file, env, machine }) }
function problems (file: string, env: Record<string, string>): readonly string[] {
  try {
    loaded(file, env)
    return []
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.problems.map(({ path, message, line }) => `${line === undefined ? '' : `${line} `}${path}: ${message}`)
  }
}

test('a variable overrides its key, whatever kind the key is of', (t) => {
  const { file, write } = openConfigFolder(t)
  write('new.secret', 'a-new-secret-of-more-than-32-characters')
  const { config } = loaded(file, {
    TOLLGATE_GATEWAY__LISTEN__PORT: '9000',
    TOLLGATE_GATEWAY_ID: '12345',
    TOLLGATE_GATEWAY__IN_FLIGHT_MAX: '7',
    TOLLGATE_JOURNAL__BYTES_MAX: '1GiB',
    TOLLGATE_METERING__ACK: 'buffered',
    TOLLGATE_GRADES__GRADE_FREE__BURST: '5',
    TOLLGATE_GATEWAY__UPSTREAMS__MAIN__URL: 'http://10.0.0.1:80',
    TOLLGATE_GATEWAY__UPSTREAMS__OTHER__URL: 'http://10.0.0.2:80',
    TOLLGATE_GATEWAY__ROUTES__0__TRUST_TRACE_ID: 'true',
    TOLLGATE_GATEWAY__ROUTES__0__UNITS__HEADER: 'X-Units',
    TOLLGATE_GATEWAY__ROUTES__1: '{ id: more, path: /more, upstream: other, isPublic: true }',
    TOLLGATE_AUTH__SECRETS__0__SECRET_FILE: 'new.secret',
    TOLLGATE_GATEWAY__TRUSTED_PROXIES: '[10.0.0.0/8]',
    UNRELATED: 'x'
  })
  assert.equal(config.gateway.listen.port, 9000)
  assert.equal(config.gatewayId, '12345', 'a text stays a text')
  assert.equal(config.gateway.inFlightMax, 7)
  assert.equal(config.journal.bytesMax, 2 ** 30)
  assert.equal(config.metering.ack, 'buffered')
  assert.equal(config.grades.GRADE_FREE.burst, 5)
  assert.deepEqual(Object.entries(config.gateway.upstreams).map(([name, { url }]) => `${name} ${url}`), ['main http://10.0.0.1:80', 'other http://10.0.0.2:80'])
  assert.equal(config.gateway.routes[0]?.trustTraceId, true)
  assert.deepEqual(config.gateway.routes[0]?.units, { header: 'X-Units' })
  assert.equal(config.gateway.routes[1]?.id, 'more')
  assert.equal(config.auth.secrets[0]?.secret, 'a-new-secret-of-more-than-32-characters')
  assert.deepEqual(config.gateway.trustedProxies, ['10.0.0.0/8'])
})

test('a secret given one way replaces the other way, without a warning', (t) => {
  const { file, write } = openConfigFolder(t)
  const inline = loaded(file, { TOLLGATE_BILLING__MEMBER_SECRET: 'from-the-environment-with-32-characters' })
  assert.equal(inline.config.billing.memberSecret, 'from-the-environment-with-32-characters')
  assert.deepEqual(inline.warnings, [])
  const other = openConfigFolder(t, soundConfig.replace('memberSecretFile: member.secret', 'memberSecret: in-the-file-itself-with-32-characters'))
  write('x', '')
  assert.match(loaded(other.file, {}).warnings.join(), /billing\.memberSecret stands in the configuration file/)
  const filed = loaded(other.file, { TOLLGATE_BILLING__MEMBER_SECRET_FILE: 'member.secret' })
  assert.equal(filed.config.billing.memberSecret, 'member.secret-of-more-than-thirty-two-characters')
  assert.deepEqual(filed.warnings, [])
})

test('a wrong value names the variable, not a line', (t) => {
  const { file } = openConfigFolder(t)
  assert.deepEqual(problems(file, { TOLLGATE_GATEWAY__LISTEN__PORT: 'abc', TOLLGATE_METERING__ACK: '', TOLLGATE_GATEWAY__ROUTES__0__IS_PUBLIC: 'yes', TOLLGATE_GATEWAY__ROUTES__0__UPSTREAM: 'none' }), [
    'TOLLGATE_GATEWAY__LISTEN__PORT (gateway.listen.port): "abc" is not allowed here',
    'TOLLGATE_GATEWAY__ROUTES__0__IS_PUBLIC (gateway.routes[0].isPublic): "yes" is not allowed here',
    'TOLLGATE_METERING__ACK (metering.ack): "" is not allowed here'
  ])
  assert.deepEqual(problems(file, { TOLLGATE_GATEWAY__ROUTES__0__UPSTREAM: 'none' }), ['TOLLGATE_GATEWAY__ROUTES__0__UPSTREAM (gateway.routes[0].upstream): there is no upstream `none`'])
  assert.deepEqual(problems(file, { TOLLGATE_AUTH__SECRETS: 'hunter2' }), ['TOLLGATE_AUTH__SECRETS (auth.secrets): a string is not allowed here'])
})

test('a variable that stands for no key is refused with what is near', (t) => {
  const { file } = openConfigFolder(t)
  assert.deepEqual(problems(file, { TOLLGATE_GATEWAY__LISTEN__PROT: '1', TOLLGATE_GATEWAY__ROUTES__5__ID: 'x', TOLLGATE_STATE__X: '1', TOLLGATE_LOG__LEVEL__X: '1', TOLLGATE___PROTO____X: '1' }), [
    'TOLLGATE_GATEWAY__LISTEN__PROT: PROT is no key', 'TOLLGATE_GATEWAY__ROUTES__5__ID: 5 is no index of this list', 'TOLLGATE_LOG__LEVEL__X: nothing stands below this value',
    'TOLLGATE_STATE__X: nothing stands below a text', 'TOLLGATE___PROTO____X:  is no key'
  ])
})

test('names without a level that are no key only warn; reserved ones don\'t', (t) => {
  const { file } = openConfigFolder(t)
  assert.deepEqual(loaded(file, { TOLLGATE_SEED: '1', TOLLGATE_CONFIG: 'x', TOLLGATE_NODE: 'x', TOLLGATE_CRASH_POINT: '' }).warnings, ['the environment variable TOLLGATE_SEED is no key of the configuration'])
})
