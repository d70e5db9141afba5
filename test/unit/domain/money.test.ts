import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatMoney, moneyMicrosMax, parseMoney, roundParts, roundToWhole } from '../../../src/domain/money.ts'

test('decimals are read exactly', () => {
  for (const [text, micros] of [['0', 0n], ['12.5', 12_500_000n], ['0.000001', 1n], ['1.50', 1_500_000n], ['-3.25', -3_250_000n], ['999999999999.999999', moneyMicrosMax]] as const) assert.equal(parseMoney(text), micros, text)
})

test('what is no plain decimal is refused', () => {
  for (const wrong of ['', '.5', '5.', '1e3', '0x10', '01', '+1', '1,5', ' 1', '1 ', '1.0000001', '1000000000000', '--1', 'NaN', 'Infinity', '１', '1_000']) assert.equal(parseMoney(wrong), undefined, wrong)
})

test('amounts are written without exponent or useless zeros', () => {
  for (const [micros, text] of [[0n, '0'], [12_500_000n, '12.5'], [1n, '0.000001'], [-1n, '-0.000001'], [10n ** 24n, '1000000000000000000']] as const) assert.equal(formatMoney(micros), text)
})

test('a half is rounded away from zero', () => {
  for (const [micros, whole] of [[499_999n, 0n], [500_000n, 1n], [1_499_999n, 1n], [1_500_000n, 2n], [2_500_000n, 3n], [-499_999n, 0n], [-500_000n, -1n], [-1_500_000n, -2n]] as const) assert.equal(roundToWhole(micros), whole, String(micros))
})

test('many small parts don\'t vanish', () => {
  const shown = roundParts(Array.from({ length: 10 }, () => 300_000n))
  assert.equal(shown.reduce((sum, part) => sum + part, 0n), 3n)
  assert.deepEqual(shown.filter((part) => part > 1n), [])
  assert.deepEqual(roundParts([]), [])
})
