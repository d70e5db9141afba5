// Settings that are sound by themselves and don't fit together, each with its place, and what only warns.
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { ConfigError, loadConfig } from '../../../src/config/load.ts'
import type { Machine } from '../../../src/config/machine.ts'
import type { Role } from '../../../src/config/role.ts'
import { assertExplained, machine, openConfigFolder, soundConfig } from '../../helpers/config-folder.ts'
import { testCertificate, testKey } from '../../helpers/raw-http-certificate.ts'

function outcome (t: TestContext, config: string, has: Partial<Machine> = {}): { readonly problems: readonly string[], readonly warnings: readonly string[] } {
  const { file, write } = openConfigFolder(t, config)
  write('certificate.pem', testCertificate)
  write('key.pem', testKey)
  try {
    return { problems: [], warnings: loadConfig({ file, env: {}, machine: { ...machine, ...has } }).warnings }
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    assertExplained(error)
    return { problems: error.problems.map(({ path, message, remedy }) => `${path}: ${message} | ${remedy}`), warnings: [] }
  }
}
const withRoute = (route: string): string => soundConfig.replace('    - { id: api', `    - ${route}\n    - { id: api`)

test('what doesn\'t fit together is refused with the reason', (t) => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [`${soundConfig}grades: { GRADE_FREE: { burst: 4 } }\n`.replace('upstream: main }', 'upstream: main, requestedTokens: 5 }'), 'gateway.routes[0].requestedTokens', /more than the burst of GRADE_FREE/],
    [`${soundConfig}journal: { bytesMax: 64MiB, segmentBytes: 32MiB }\n`, 'journal.bytesMax', /less than 160MiB: 3 segments of 32MiB/],
    [`${soundConfig}journal: { segmentBytes: 300000 }\n`, 'journal.segmentBytes', /no multiple of 4KiB/],
    [soundConfig.replace('gateway:\n', 'gateway:\n  inFlightMax: 1000000\n') + 'journal: { bytesMax: 10GiB }\n', 'journal.bytesMax', /3000000 requests in flight/],
    [soundConfig.replace('3000" }', '3000", tls: { caFile: certificate.pem } }'), 'gateway.upstreams.main.tls', /spoken to without TLS/],
    [soundConfig.replace('http://127.0.0.1:3000" }', 'https://127.0.0.1:3000", tls: { caFile: key.pem } }'), 'gateway.upstreams.main.tls.caFile', /holds no certificate/],
    [soundConfig.replace('http://127.0.0.1:3000" }', 'https://127.0.0.1:3000", tls: { certificateFile: certificate.pem } }'), 'gateway.upstreams.main.tls', /a certificate without a key/],
    [soundConfig.replace('http://127.0.0.1:3000" }', 'https://127.0.0.1:3000", tls: { certificateFile: certificate.pem, keyFile: certificate.pem } }'), 'gateway.upstreams.main.tls.keyFile', /no certificate and the key/],
    [soundConfig.replace('3000" }', '3000", secretHeader: { name: X-Api-Key, value: of-sixteen-characters-at-least } }'), 'gateway.upstreams.main.secretHeader.name', /a meaning of its own/],
    [soundConfig.replace('gateway:\n', 'gateway:\n  listen: { tls: { certificateFile: certificate.pem, keyFile: none.pem } }\n'), 'gateway.listen.tls.keyFile', /ENOENT/],
    [soundConfig.replace('gateway:\n', 'gateway:\n  listen: { tls: { certificateFile: certificate.pem, keyFile: certificate.pem } }\n'), 'gateway.listen.tls.keyFile', /holds no private key/],
    [soundConfig.replace('gateway:\n', 'gateway:\n  listen: { tls: { certificateFile: certificate.pem, keyFile: key.pem, clientCaFile: key.pem } }\n'), 'gateway.listen.tls.clientCaFile', /holds no certificate/],
    [`${soundConfig}journal: { ringBytes: 100000 }\n`, 'journal.ringBytes', /no power of two/],
    [`${soundConfig}journal: { ringBytes: 64KiB, bytesMax: 1GiB, refusedBytesMax: 600MiB }\n`, 'journal.refusedBytesMax', /more than half/],
    [`${soundConfig}operator: { listen: { port: 8080 } }\n`, 'operator.listen.port', /port of gateway\.listen too/],
    [`${soundConfig}operator: { listen: { host: 0.0.0.0, port: 8082 } }\n`, 'operator.listen.port', /port of billing\.privateListen too/],
    [soundConfig.replace('[{ secretFile: api.secret }]', '[{ kid: a, secretFile: api.secret }, { kid: a, secretFile: api.secret }]'), 'auth.secrets[1].kid', /twice/],
    [soundConfig.replace('[{ name: payment, tokenFile: payment.token }]', '[{ name: p, tokenFile: payment.token }, { name: p, tokenFile: payment.token }]'), 'billing.operatorTokens[1].name', /twice/],
    [soundConfig.replace('[{ secretFile: api.secret }]', '[]'), 'auth.secrets', /no secret/],
    [withRoute('{ id: api, path: "/other", upstream: main }'), 'gateway.routes[1].id', /twice/],
    [withRoute('{ id: b, path: "/api/**", upstream: main }'), 'gateway.routes[1]', /takes already/],
    [withRoute('{ id: b, path: "/%61pi/**", upstream: main }'), 'gateway.routes[1]', /takes already/],
    [withRoute('{ id: b, path: "/x/{a}", methods: [GET, PUT], upstream: main }').replace('path: "/api/**"', 'path: "/x/{b}", methods: [PUT]'), 'gateway.routes[1]', /takes already/],
    [withRoute('{ id: b, path: "/x", upstream: mian }'), 'gateway.routes[0].upstream', /did you mean `main`/],
    [withRoute('{ id: b, path: "/x/{a}", rewrite: "/y/{b}", upstream: main }'), 'gateway.routes[0].rewrite', /\{b\} is no variable/],
    [withRoute('{ id: b, path: "/x", rewrite: "/y/**", upstream: main }'), 'gateway.routes[0].rewrite', /doesn't/],
    [withRoute('{ id: b, path: "/x", rewrite: "y", upstream: main }'), 'gateway.routes[0].rewrite', /slash/],
    [withRoute('{ id: b, path: "/x/*", upstream: main }'), 'gateway.routes[0].path', /whole last segment/],
    [withRoute('{ id: b, path: "/x", upstream: main, cors: { origins: [] } }'), 'gateway.routes[0].cors.origins', /no origin/],
    [withRoute('{ id: b, path: "/x", upstream: main, cors: { origins: ["*", "https://a.test"] } }'), 'gateway.routes[0].cors.origins', /beside other origins/],
    [withRoute('{ id: b, path: "/x", upstream: main, cors: { origins: ["*"], credentials: true } }'), 'gateway.routes[0].cors.credentials', /browsers refuse it/],
    [withRoute('{ id: b, path: "/x", upstream: main, cors: { origins: ["https://a.test/"] } }'), 'gateway.routes[0].cors.origins[0]', /not allowed here/],
    [withRoute('{ id: b, path: "/x", upstream: main, headerBytesMax: 32KiB }'), 'gateway.routes[0].headerBytesMax', /more than `gateway.headerBytesMax`/],
    [soundConfig.replace('gateway:\n', 'gateway:\n  trustedProxies: [10.0.0.0/33]\n'), 'gateway.trustedProxies[0]', /no address/],
    [soundConfig.replace('gateway:\n', 'gateway:\n  trustedProxies: [proxy.example.com]\n'), 'gateway.trustedProxies[0]', /no address/]
  ]
  for (const [config, path, message] of cases) {
    const { problems } = outcome(t, config)
    assert.equal(problems.length, 1, `${path}: ${problems.join('\n')}`)
    assert.ok(problems[0]?.startsWith(`${path}: `), problems[0])
    assert.match(problems[0] ?? '', message)
  }
})

test('a disk too small for the journal says so', (t) => {
  assert.match(outcome(t, soundConfig, { freeDiskBytes: 100e6 }).problems.join(), /^journal\.bytesMax: 0 is less than 256MiB.*free the disk/)
})

test('a full journal\'s own space counts as its own: a restart doesn\'t shrink the bound', (t) => {
  const { file } = openConfigFolder(t)
  const bytesMax = (has: Partial<Machine>): number => loadConfig({ file, env: {}, machine: { ...machine, ...has } }).config.journal.bytesMax
  assert.equal(bytesMax({ freeDiskBytes: 10e9, journalBytes: 0 }), bytesMax({ freeDiskBytes: 6e9, journalBytes: 4e9 }))
  assert.ok(bytesMax({ freeDiskBytes: 1e12 }) <= 20e9)
})

test('routes for other hosts or methods may share a path', (t) => {
  assert.deepEqual(outcome(t, withRoute('{ id: b, path: "/api/**", hosts: [b.example.com], upstream: main }').replace('id: api, path: "/api/**"', 'id: api, path: "/api/**", methods: [GET]')).problems, [])
})

test('what is odd but works warns', (t) => {
  const cases: readonly (readonly [string, RegExp, Partial<Machine>?])[] = [
    [`${soundConfig}metering: { ack: buffered }\n`, /power cut may lose the usage of the last 100 ms/],
    [`${soundConfig}journal: { bytesMax: 256MiB, segmentBytes: 4MiB }\narchive: { flushEventsMax: 1000000 }\n`, /flushEventsMax/],
    [`${soundConfig}journal: { bytesMax: 200GB }\n`, /the disk has only 93\.1 GiB free/],
    [soundConfig, /bounds of memory/, { memoryBytes: 512 * 2 ** 20 }],
    [soundConfig.replace('gateway:\n', 'gateway:\n  stopTimeoutMs: 1000\n'), /a stop may cut answers/],
    [soundConfig.replace('    main:', '    spare: { url: "http://127.0.0.1:1" }\n    main:'), /no route uses the upstream spare/],
    [withRoute('{ id: b, path: "/x", isPublic: true, requestedTokens: 5, upstream: main }'), /route b is public/],
    [soundConfig.replace('  memberSecretFile: member.secret\n', ''), /no member can read charges/],
    [soundConfig.replace('  operatorTokens: [{ name: payment, tokenFile: payment.token }]\n', ''), /nobody can use the private endpoints/]
  ]
  for (const [config, warning, has] of cases) {
    const { problems, warnings } = outcome(t, config, has)
    assert.deepEqual(problems, [])
    assert.equal(warnings.length, 1, warnings.join('\n'))
    assert.match(warnings[0] ?? '', warning)
  }
})

test('a role opens no file with a secret that only others use', (t) => {
  const { file, folder, write } = openConfigFolder(t, soundConfig.replace('main: { url: "http://127.0.0.1:3000" }', 'main: { url: "http://127.0.0.1:3000", secretHeader: { name: x-from, valueFile: header.secret } }') +
    'kafka: { brokers: ["pi1:9092"] }\nredis: { host: pi1, username: tollgate, passwordFile: redis.secret }\narchive: { peers: [{ url: "http://pi2:9465", tokenFile: peer.token }] }\naggregators: [{ url: "http://pi2:9465", tokenFile: aggregator.token }]\noperator: { tokens: [{ name: cluster, tokenFile: cluster.token }] }\n')
  const needed: readonly (readonly [Role, readonly string[]])[] = [['gateway', ['api.secret', 'header.secret', 'member.secret', 'redis.secret']], ['aggregator', ['peer.token']], ['billing', ['aggregator.token', 'member.secret', 'payment.token']]]
  const all = [...new Set(needed.flatMap(([, names]) => names))]
  for (const [role, names] of needed) {
    for (const name of all) rmSync(path.join(folder, name), { force: true })
    for (const name of [...names, 'cluster.token']) write(name, `a-secret-of-more-than-32-characters-${name}`)
    const { config } = loadConfig({ file, env: {}, machine, roles: [role] })
    const found = [config.auth.secrets, config.gateway.upstreams['main']?.secretHeader ?? [], config.redis?.password ?? [], config.archive.peers, config.aggregators, config.billing.memberSecret ?? [], config.billing.operatorTokens].map((each) => JSON.stringify(each) !== '[]')
    assert.deepEqual(found, [['gateway'], ['gateway'], ['gateway'], ['aggregator'], ['billing'], ['gateway', 'billing'], ['billing']].map((users) => users.includes(role)), role)
    for (const name of names) {
      rmSync(path.join(folder, name))
      assert.throws(() => loadConfig({ file, env: {}, machine, roles: [role] }), new RegExp(`${name.replace('.', '\\.')} can't be read`), `${role} ${name}`)
      write(name, `a-secret-of-more-than-32-characters-${name}`)
    }
    assert.throws(() => loadConfig({ file, env: { TOLLGATE_GATEWAY__WORKERS: 'many' }, machine, roles: [role] }), (error) => error instanceof ConfigError && error.problems.length === 1, 'other problems are told as ever')
  }
})

test('what a role needs is asked only of that role', (t) => {
  const { file } = openConfigFolder(t, 'billing: { priceBookFile: prices.yaml }\nkafka: { brokers: ["pi1:9092"] }\narchive: { copies: 1 }\noperator: { tokens: [{ name: cluster, tokenFile: payment.token }] }\n')
  const load = (...roles: readonly ('gateway' | 'aggregator' | 'billing')[]): readonly string[] => loadConfig({ file, env: {}, machine, roles }).warnings
  assert.deepEqual(load('aggregator'), [])
  assert.equal(load('billing').length, 3)
  assert.throws(() => load('gateway'), /gateway\.routes: no route/)
})
