import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { configCommand } from '../../../src/cli/config.ts'
import { openConfigFolder, soundConfig } from '../../helpers/config-folder.ts'

async function run (...argv: readonly string[]): Promise<{ readonly code: number, readonly out: string, readonly error: string }> {
  let out = ''
  let error = ''
  const code = await configCommand(argv, { out: (text) => { out += text }, error: (text) => { error += text } })
  return { code, out, error }
}

test('check: a sound file, what auto stands for, and how long the journal lasts', async (t) => {
  const { file } = openConfigFolder(t, `${soundConfig}journal: { bytesMax: 4320MB }\nmetering: { ack: buffered }\n`)
  const { code, out, error } = await run('check', '--config', file)
  assert.equal(code, 0)
  assert.equal(error, '')
  assert.match(out, /is sound: 1 routes, 1 upstreams/)
  assert.match(out, /auto: gateway\.workers is \d+/)
  assert.match(out, /: 2\.0 hours at 1,000 requests a second/)
  assert.match(out, /warning: metering\.ack is buffered/)
  const json = JSON.parse((await run('check', '--json', '--file', file)).out) as { isSound: boolean, journalHoursAt1000PerS: number, autos: { path: string }[], warnings: string[] }
  assert.equal(json.isSound, true)
  assert.equal(json.journalHoursAt1000PerS, 2)
  assert.ok(json.warnings.some((warning) => warning.startsWith('metering.ack is buffered')))
  assert.ok(json.autos.some((auto) => auto.path === 'gateway.workers'))
})

test('check: all problems with file, line and remedy, exit code 1', async (t) => {
  const { file } = openConfigFolder(t, `${soundConfig}stat: x\nlog: { level: loud }\n`)
  const { code, out, error } = await run('check', '--config', file)
  assert.equal(code, 1)
  assert.equal(out, '')
  assert.deepEqual(error.trim().split('\n').map((line) => line.replace(/^.*tollgate\.yaml/, '')), [
    ':12: stat: unknown key. Did you mean `state`?', ':13: log.level: "loud" is not allowed here. It is one of trace, debug, info, warn, error, fatal, silent.'
  ])
  const json = JSON.parse((await run('check', '--json', '--config', file)).out) as { isSound: boolean, problems: { path: string, line: number }[] }
  assert.deepEqual([json.isSound, json.problems.map(({ path: where, line }) => `${where} ${line}`)], [false, ['stat 12', 'log.level 13']])
})

test('print: everything, as YAML or JSON, without secrets', async (t) => {
  const { file } = openConfigFolder(t)
  const yaml = await run('print', '--config', file)
  const json = await run('print', '--json', '--config', file)
  assert.deepEqual([yaml.code, json.code], [0, 0])
  assert.deepEqual(parse(yaml.out), JSON.parse(json.out))
  assert.ok(!/more-than-thirty/.test(yaml.out + json.out))
  assert.equal((JSON.parse(json.out) as { auth: { secrets: unknown } }).auth.secrets instanceof Array, true)
})

test('schema: JSON Schema, or the page', async () => {
  const schema = JSON.parse((await run('schema')).out) as { $schema: string, properties: object }
  assert.match(schema.$schema, /2020-12/)
  assert.ok('gateway' in schema.properties)
  assert.equal((await run('schema', '--markdown')).out, readFileSync(path.resolve(import.meta.dirname, '../../../docs/configuration.md'), 'utf8'))
})

test('help and wrong use', async () => {
  for (const argv of [['--help'], ['check', '-h']]) assert.match((await run(...argv)).out, /^Usage: tollgate config/)
  for (const argv of [[], ['chek'], ['check', 'print'], ['check', '--nope'], ['check', '--config']]) {
    const { code, error } = await run(...argv)
    assert.equal(code, 2, argv.join(' '))
    assert.match(error, /Usage: tollgate config/)
  }
})
