import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { ConfigError, crashPointFrom, defaultConfigFile, loadCommandConfig, loadConfig } from '../../../src/config/load.ts'
import type { LoadOptions } from '../../../src/config/load.ts'
import type { ConfigProblem } from '../../../src/config/problem.ts'
import { machine, openConfigFolder, soundConfig, soundPrices } from '../../helpers/config-folder.ts'

/** Problems of a configuration as `line path: message`. */
function problemsOf (options: Omit<LoadOptions, 'env'> & { readonly env?: Record<string, string> }): string[] {
  return problems(options).map(({ path: where, line, message }) => `${line ?? '-'} ${where}: ${message}`)
}
function problems (options: LoadOptions): readonly ConfigProblem[] {
  try {
    loadConfig({ env: {}, machine, ...options })
    return []
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    assert.equal(error.code, 'CONFIG_INVALID')
    for (const problem of error.problems) assert.ok(problem.remedy.length > 3, JSON.stringify(problem))
    return error.problems
  }
}
const problemsIn = (t: TestContext, config: string, prices?: string): string[] => problemsOf({ file: openConfigFolder(t, config, prices).file })

test('a small file gives a complete, frozen configuration and the price book', (t) => {
  const { folder, file } = openConfigFolder(t)
  const { config, priceBook, warnings, autos } = loadConfig({ file, env: {}, machine })
  assert.deepEqual(warnings, [])
  assert.equal(config.state, path.join(folder, 'state'))
  assert.equal(config.gatewayId, 'host-of-the-test')
  assert.equal(config.gateway.workers, 3)
  assert.equal(config.journal.bytesMax, Math.floor(20e9 / config.journal.segmentBytes) * config.journal.segmentBytes)
  assert.equal(config.journal.refusedBytesMax, Math.floor(config.journal.bytesMax * 0.1))
  assert.equal(config.gateway.requestBytesMax, 10 * 2 ** 20)
  assert.equal(config.gateway.listen.port, 8080)
  assert.deepEqual(config.grades, { GRADE_FREE: { ratePerS: 50, burst: 100 }, GRADE_CLASSIC: { ratePerS: 100, burst: 500 }, GRADE_PREMIUM: { ratePerS: 200, burst: 1000 } })
  assert.deepEqual(config.auth.secrets, [{ secret: 'api.secret-of-more-than-thirty-two-characters' }])
  assert.equal(config.metering.ack, 'durable')
  assert.deepEqual(autos.map((auto) => auto.path).sort(), ['aggregator.name', 'gateway.workers', 'gatewayId', 'journal.bytesMax', 'journal.refusedBytesMax', 'operator.listen.port'])
  assert.equal(priceBook.endpointOf('GET', '/api/x', 0), 1)
  assert.throws(() => { (config.gateway.routes as unknown[]).push({}) }, TypeError)
  assert.throws(() => { (config.gateway.routes[0] as { path: string }).path = '/' }, TypeError)
  structuredClone(config)
})

test('every problem is told at once, with its line', (t) => {
  const { file } = openConfigFolder(t, `stat: x
gateway:
  listen:
    port: 70000
  upstreams: { main: { url: "ftp://x" } }
  routes:
    - id: a
      path: api
      upstream: mian
    - { path: "/x", upstream: main }
auth:
  secrets: hunter2hunter2
journal:
  bytesMax: 12XB
billing: { priceBookFile: prices.yaml, operatorTokens: [{ name: a, token: short }] }
`, soundPrices.replace('group: 1', 'group: 7'))
  assert.deepEqual(problemsOf({ file }).sort(), [
    '1 stat: unknown key',
    '10 gateway.routes[1].id: missing',
    '12 auth.secrets: a string is not allowed here',
    '14 journal.bytesMax: "12XB" is not allowed here',
    '15 billing.operatorTokens[0].token: 5 characters are too few',
    '4 gateway.listen.port: 70000 is not allowed here',
    '5 endpoints[0].group: no such group',
    '5 gateway.upstreams.main.url: "ftp://x" is not allowed here',
    '8 gateway.routes[0].path: a path starts with a slash',
    '9 gateway.routes[0].upstream: there is no upstream `mian`'
  ])
  assert.ok(!JSON.stringify(problems({ file })).includes('hunter2'), 'a misplaced secret is not printed')
})

test('ill-typed and unknown keys are refused', (t) => {
  for (const [line, problem] of [
    ['state: 5', '12 state: 5 is not allowed here'],
    ['state: ""', '12 state: empty'],
    ['gatewayId: "a b"', '12 gatewayId: "a b" is not allowed here'],
    ['log: { level: verbose }', '12 log.level: "verbose" is not allowed here'],
    ['log: [info]', '12 log: a list is not allowed here'],
    ['metering: { ack: durabel }', '12 metering.ack: "durabel" is not allowed here'],
    ['registry: { unknownKeys: true }', '12 registry.unknownKeys: true is not allowed here'],
    ['ledger: { threads: 1.5 }', '12 ledger.threads: 1.5 is not allowed here'],
    ['ledger: { threads: "1" }', '12 ledger.threads: "1" is not allowed here'],
    ['ledger: { threads: 0 }', '12 ledger.threads: 0 is not allowed here'],
    ['ledger: { threads: auto }', '12 ledger.threads: "auto" is not allowed here'],
    ['ledger: { memoryBytesMax: 1MiB }', '12 ledger.memoryBytesMax: 1048576 is not allowed here'],
    ['ledger: { memoryBytesMax: 0x10000000000000 }', '12 ledger.memoryBytesMax: 4503599627370496 is not allowed here'],
    ['archive: { flushIntervalMs: 1e99 }', '12 archive.flushIntervalMs: 1e+99 is not allowed here'],
    ['archive: { flushInterval: 1 }', '12 archive.flushInterval: unknown key'],
    ['archive: { __proto__: 1 }', '12 archive.__proto__: unknown key'],
    ['constructor: 1', '12 constructor: unknown key'],
    ['grades: { GRADE_GOLD: { burst: 1 } }', '12 grades.GRADE_GOLD: unknown key'],
    ['limiter:\n  keysMax: ~', '13 limiter.keysMax: no value']
  ] as const) assert.deepEqual(problemsIn(t, `${soundConfig}${line}\n`), [problem], line)
})

test('a key with nothing behind it has its default', (t) => {
  const { file } = openConfigFolder(t, `${soundConfig}grades:\n  GRADE_FREE:\nlog:\nregistry: ~\n`)
  assert.equal(loadConfig({ file, env: {}, machine }).config.grades.GRADE_FREE.burst, 100)
})

test('YAML that can\'t be trusted is refused with its line', (t) => {
  assert.deepEqual(problemsIn(t, 'state: a\nstate: b\n'), ['2 : Map keys must be unique'])
  assert.match(problemsIn(t, 'a: [1\nb: 2\n').join(), /^\d : /)
  assert.match(problemsIn(t, 'log: !!js/function x\n').join(), /^1 : Unresolved tag/)
  assert.match(problemsIn(t, `a: &a [x, x, x, x, x, x, x, x, x, x]\n${Array.from({ length: 9 }, (_, at) => `${String.fromCharCode(98 + at)}: &${String.fromCharCode(98 + at)} [${`*${String.fromCharCode(97 + at)}, `.repeat(9)}*${String.fromCharCode(97 + at)}]`).join('\n')}\n`).join(), /alias/i)
  assert.match(problemsIn(t, '').join(), /^- billing\.priceBookFile: missing/)
  assert.deepEqual(problemsIn(t, '- a\n- b\n'), ['1 : a list is not allowed here'])
  assert.match(problemsIn(t, `${soundConfig}---\nstate: x\n`).join(), /^\d+ : /)
})

test('a file that can\'t be read says so', (t) => {
  const { file, folder, write } = openConfigFolder(t)
  assert.deepEqual(problemsOf({ file: path.join(folder, 'none.yaml') }), ['- : can\'t be read: ENOENT'])
  assert.deepEqual(problemsOf({ file: folder }), ['- : is no file'])
  assert.match(problemsOf({ file: write('binary.yaml', Buffer.from([0xff, 0xfe, 0x00])) }).join(), /is no text/)
  assert.match(problemsOf({ file: write('huge.yaml', '#'.repeat(1024 * 1024 + 1)) }).join(), /has 1048577 bytes/)
  rmSync(path.join(folder, 'prices.yaml'))
  assert.deepEqual(problemsOf({ file }), ['- : can\'t be read: ENOENT'])
})

test('problems of the price book come with its own name and line', (t) => {
  const found = problems({ file: openConfigFolder(t, soundConfig, soundPrices.replace('cost: 3', 'cost: -3, form: x') + '  - { id: 1, group: 1, path: "/api/**" }\n').file })
  assert.deepEqual(found.map(({ path: where, line, message }) => `${line} ${where}: ${message}`), [
    '3 groups[0].prices[0].form: unknown key', '3 groups[0].prices[0].cost: a price below zero', '6 endpoints[1].id: the id 1 stands there twice'
  ])
  assert.ok(found.every(({ file }) => file?.endsWith('prices.yaml')))
})

test('a command needs neither roles\' settings nor a sound price book', (t) => {
  const { file } = openConfigFolder(t, 'billing: { priceBookFile: none.yaml }\n')
  assert.equal(loadCommandConfig({ file, env: {}, machine }).config.operator.listen.port, 9464)
  assert.deepEqual(problemsOf({ file }).map((problem) => problem.split(':')[0]), ['- gateway.routes', '- '])
})

test('the variables beside the configuration', () => {
  assert.equal(defaultConfigFile({}), 'tollgate.yaml')
  assert.equal(defaultConfigFile({ TOLLGATE_CONFIG: '/etc/tollgate.yaml' }), '/etc/tollgate.yaml')
  assert.equal(crashPointFrom({}), undefined)
  assert.deepEqual(crashPointFrom({ TOLLGATE_CRASH_POINT: 'journal.after-write:3' }), { name: 'journal.after-write', hit: 3 })
  assert.deepEqual(crashPointFrom({ TOLLGATE_CRASH_POINT: 'journal.after-write' }), { name: 'journal.after-write', hit: 1 })
  for (const wrong of ['journal', 'journal.after-write:0', 'journal.after-write:x']) assert.throws(() => crashPointFrom({ TOLLGATE_CRASH_POINT: wrong }), ConfigError)
})
