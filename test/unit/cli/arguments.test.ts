import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageError, readArguments, readDurationMs, readInstantMs } from '../../../src/cli/arguments.ts'
import type { CommandSpec } from '../../../src/cli/arguments.ts'

const spec: CommandSpec = {
  name: 'tollgate example',
  summary: 'An example.',
  positionals: [{ name: 'KEY', description: 'A key.' }],
  options: { member: { value: 'ID', description: 'A member.', isRequired: true }, json: { description: 'JSON.' } }
}
const refused = (argv: readonly string[], message: RegExp): void => {
  assert.throws(() => readArguments(argv, spec), (error: unknown) => error instanceof UsageError && message.test(`${error.message} ${error.hint}`), argv.join(' '))
}

test('what a command takes is read', () => {
  const given = readArguments(['7', '--member=3', '--json'], spec)
  assert.ok(given !== 'help')
  assert.deepEqual(given.positionals, ['7'])
  assert.equal(given.text('member'), '3')
  assert.equal(given.integer('member', { min: 1, max: 10 }), 3)
  assert.equal(given.has('json'), true)
  assert.equal(given.integer('json-not-given', { min: 1, max: 10 }), undefined)
})

test('help wins over everything that is wrong', () => {
  for (const argv of [['--help'], ['-h'], ['7', '--help', '--member'], ['--member', '3', '-h']]) assert.equal(readArguments(argv, spec), 'help')
})

test('what is wrong is named, with a hint', () => {
  refused(['7', '--membr', '3'], /no option --membr did you mean --member\?/)
  refused(['7', '-x', '--member', '3'], /no option -x/)
  refused(['7'], /--member ID is missing/)
  refused(['7', '--member'], /--member needs a value: --member ID/)
  refused(['7', '--member', '--json'], /--member needs a value/)
  refused(['7', '--member', '3', '--member', '4'], /--member stands there twice/)
  refused(['7', '--member', '3', '--json=yes'], /--json takes no value/)
  refused(['--member', '3'], /KEY is missing/)
  refused(['7', '8', '--member', '3'], /"8" is one argument too many/)
  refused(['7', '--constructor', '3'], /no option --constructor/)
})

test('numbers, durations and instants are strict', () => {
  for (const wrong of ['0', '11', '1.5', '-1', '1e1', 'seven', '', '9'.repeat(17)]) {
    const given = readArguments(['7', `--member=${wrong}`], spec)
    assert.ok(given !== 'help')
    assert.throws(() => given.integer('member', { min: 1, max: 10 }), UsageError, wrong)
  }
  assert.deepEqual(['0', '90s', '15m', '24h', '30d'].map((text) => readDurationMs('--d', text, '')), [0, 90_000, 900_000, 86_400_000, 2_592_000_000])
  for (const wrong of ['', '5', '1.5h', '-1h', '1w', 'h', '1h30m']) assert.throws(() => readDurationMs('--d', wrong, ''), UsageError, wrong)
  assert.equal(readInstantMs('--w', '2027-01-31', ''), Date.UTC(2027, 0, 31))
  assert.equal(readInstantMs('--w', '2027-01-31T09:00:00+09:00', ''), Date.UTC(2027, 0, 31))
  for (const wrong of ['', '2027-02-30', '2027-01-31T12:00:00', 'tomorrow']) assert.throws(() => readInstantMs('--w', wrong, ''), UsageError, wrong)
})
