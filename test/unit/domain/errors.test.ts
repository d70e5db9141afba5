// docs/errors.md and the catalogue say the same, both ways.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { billingErrors, gatewayErrors, operatorErrors, remedyOf, TollgateError } from '../../../src/domain/errors.ts'

const page = readFileSync(path.resolve(import.meta.dirname, '../../../docs/errors.md'), 'utf8')

/** Rows of the table under a heading, as their cells. */
function rowsUnder (heading: string): string[][] {
  const section = page.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return section.split('\n').filter((line) => /^\| [A-Z]/.test(line)).map((line) => line.slice(1, -1).split(' | ').map((cell) => cell.trim()))
}

for (const [heading, catalogue] of [['Gateway', gatewayErrors], ['Billing', billingErrors]] as const) {
  test(`${heading}: one row each, with its status, a meaning and what to do`, () => {
    const rows = rowsUnder(heading)
    assert.deepEqual(rows.map(([code]) => code).sort(), Object.keys(catalogue).sort())
    for (const [code, statuses = '', meaning, remedy] of rows) {
      const { status } = (catalogue as Record<string, { status: number }>)[code as string] as { status: number }
      assert.ok(statuses.split(', ').includes(String(status)), code)
      assert.ok((meaning ?? '').length > 10 && (remedy ?? '').length > 5, code)
    }
  })
}

test('Operators: one row each, with its remedy', () => {
  const rows = rowsUnder('Operators')
  const expected = Object.entries(operatorErrors).map(([code, remedy]) => [code, `${remedy.slice(0, 1).toUpperCase()}${remedy.slice(1)}${remedy.endsWith('.') ? '' : '.'}`])
  assert.deepEqual(rows.map(([code, , remedy]) => [code, remedy]).sort(), expected.sort(), 'each row of docs/errors.md is `| CODE | what it means. | The catalogue\'s remedy. |`')
  for (const [code, meaning = ''] of rows) assert.ok(meaning.length > 10, code)
})

test('the catalogue keeps the contract\'s codes and statuses', () => {
  assert.deepEqual(Object.entries(gatewayErrors).map(([code, { status }]) => `${code} ${status}`), ['G0001 401', 'G0002 401', 'G0003 500', 'G0004 500', 'G0005 500', 'G0006 429', 'G0007 404', 'G0008 502', 'G0009 504', 'G0010 503', 'G0011 400', 'G0012 402', 'G0013 503', 'G0014 501'])
  assert.deepEqual(Object.entries(billingErrors).map(([code, { status }]) => `${code} ${status}`).slice(0, 7), ['M0001 401', 'M0002 400', 'M0003 500', 'M0004 406', 'M0005 500', 'M0006 401', 'M0007 400'])
})

test('an error keeps its code and cause; only operators\' codes have a remedy', () => {
  const cause = new Error('disk')
  const error = new TollgateError('STATE_UNWRITABLE', 'no', { cause })
  assert.equal(error.code, 'STATE_UNWRITABLE')
  assert.equal(error.cause, cause)
  assert.equal(remedyOf(error.code), operatorErrors.STATE_UNWRITABLE)
  for (const code of [undefined, 'G0001', 'toString', 'ENOENT']) assert.equal(remedyOf(code), undefined, String(code))
})
