import assert from 'node:assert/strict'
import { test } from 'node:test'
import { murmur2, partitionOf } from '../../../src/domain/partition.ts'

test('murmur2 is that of Java\'s Kafka client (the vectors of its own UtilsTest)', () => {
  const vectors: readonly (readonly [string, number])[] = [
    ['21', -973932308], ['foobar', -790332482], ['a-little-bit-long-string', -985981536], ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971], ['abc', 479470107]
  ]
  for (const [text, hash] of vectors) assert.equal(murmur2(Buffer.from(text)), hash, text)
})

test('a view in the middle of a buffer hashes like a copy', () => {
  const bytes = Buffer.from('xxfoobarxx')
  assert.equal(murmur2(bytes.subarray(2, 8)), murmur2(Uint8Array.from(Buffer.from('foobar'))))
})

test('a partition is in range, and the same for ever', () => {
  assert.deepEqual(['1', '42', 'gateway-1', ''].map((key) => partitionOf(key, 12)), ['1', '42', 'gateway-1', ''].map((key) => (murmur2(Buffer.from(key)) & 0x7fffffff) % 12))
  assert.equal(partitionOf('anything', 1), 0)
  for (const wrong of [0, -1, 1.5, NaN]) assert.throws(() => partitionOf('1', wrong), RangeError)
})
