// Money: reading and writing are each other's inverse, rounding is symmetric and never off by more than a half.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { formatMoney, moneyMicrosMax, parseMoney, roundParts, roundToWhole } from '../../src/domain/money.ts'
import { assertHoldsAndKills } from '../helpers/mutants.ts'

const million = 1_000_000n
const micros = fc.oneof(
  fc.bigInt({ min: -moneyMicrosMax, max: moneyMicrosMax }),
  // Around halves and wholes, where rounding is decided.
  fc.tuple(fc.bigInt({ min: -1000n, max: 1000n }), fc.bigInt({ min: -2n, max: 2n })).map(([halves, off]) => halves * million / 2n + off)
)
const size = (value: bigint): bigint => value < 0n ? -value : value

test('what is written is read back', () => {
  assertHoldsAndKills(
    ({ parse, format }) => fc.property(micros, (value) => { assert.equal(parse(format(value)), value) }),
    { parse: parseMoney, format: formatMoney },
    {
      'through a float': { parse: (text) => BigInt(Math.round(Number(text) * 1e6)), format: formatMoney },
      'fraction without its leading zeros': { parse: parseMoney, format: (value) => `${value / million}.${size(value) % million}` },
      'sign lost below one': { parse: parseMoney, format: (value) => `${value / million}.${String(size(value) % million).padStart(6, '0')}` }
    }
  )
})

test('only plain decimals are read', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[-+]?[0-9.eE_ ]{0,20}$/)), (text) => {
    const read = parseMoney(text)
    if (read === undefined) return
    assert.match(text, /^-?\d{1,12}(\.\d{1,6})?$/)
    assert.ok(size(read) <= moneyMicrosMax)
  }), { numRuns: 300 })
})

test('rounding goes to the nearest whole, a half away from zero, symmetrically', () => {
  assertHoldsAndKills(
    (round) => fc.property(micros, (value) => {
      const whole = round(value)
      const off = whole * million - value
      assert.ok(size(off) <= million / 2n)
      if (size(off) === million / 2n) assert.ok(size(whole * million) > size(value), 'a half goes away from zero')
      assert.equal(round(-value), -whole)
      assert.equal(round(whole * million), whole)
    }),
    roundToWhole,
    {
      'cut off': (value) => value / million,
      'half up below zero too': (value) => value >= 0n ? (value + 500_000n) / million : -((-value + 499_999n) / million),
      'half to even': (value) => { const floor = value / million; const rest = size(value % million); return rest === 500_000n && floor % 2n === 0n ? floor : roundToWhole(value) }
    }
  )
})

test('shown parts add up to the rounded whole, each less than one off', () => {
  assertHoldsAndKills(
    (parts) => fc.property(fc.array(micros, { maxLength: 60 }), (values) => {
      const shown = parts(values)
      assert.equal(shown.length, values.length)
      assert.equal(shown.reduce((sum, part) => sum + part, 0n), roundToWhole(values.reduce((sum, value) => sum + value, 0n)))
      for (const [at, part] of shown.entries()) assert.ok(size(part * million - (values[at] as bigint)) <= million)
    }),
    roundParts,
    {
      'each part by itself': (values) => values.map(roundToWhole),
      'the rest in the last part': (values) => {
        const cut = values.map((value) => value / million)
        const sum = roundToWhole(values.reduce((total, value) => total + value, 0n))
        return cut.map((part, at) => at === cut.length - 1 ? part + sum - cut.reduce((total, value) => total + value, 0n) : part)
      },
      'running sum of rounded parts': (values) => { let shown = 0n; return values.map((value) => { const part = roundToWhole(value + shown * million) - shown; shown += part; return part }) }
    }
  )
})
