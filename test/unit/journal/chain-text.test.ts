import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ChainText, chainBytesMax } from '../../../src/journal/chain-text.ts'

const streamId = '01234567-89ab-cdef-0123-456789abcdef'

test('the chain is written as a template would write it, whatever the numbers', () => {
  const seq = fc.oneof(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), fc.constantFrom(...[1, 9, 10, 99, 100, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 10 ** 15, Number.MAX_SAFE_INTEGER]), fc.nat(100_000))
  fc.assert(fc.property(seq, seq, fc.nat(20), (next, previous, offset) => {
    const body = Buffer.alloc(offset + chainBytesMax)
    const end = new ChainText(streamId).write(body, offset, next, previous)
    assert.equal(body.toString('latin1', offset, end), `,"streamId":"${streamId}","seq":${next},"prevSeq":${previous}}\n`)
  }), { numRuns: 500 })
})

test('powers of ten, and their neighbours', () => {
  for (let power = 1; power < Number.MAX_SAFE_INTEGER; power *= 10) {
    for (const seq of [power - 1, power, power + 1]) {
      const body = Buffer.alloc(chainBytesMax)
      assert.ok(body.toString('latin1', 0, new ChainText(streamId).write(body, 0, seq, 0)).includes(`"seq":${seq},`))
    }
  }
})
