import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatSize, parseSize, roundSize } from '../../../src/config/size-text.ts'

test('sizes are read as bytes', () => {
  for (const [text, bytes] of [['0', 0], ['4096', 4096], ['64MiB', 67108864], ['64 MiB', 67108864], ['1.5GiB', 1610612736], ['20GB', 20e9], ['1KB', 1000], ['1B', 1], ['2TiB', 2 ** 41], ['0.5KiB', 512]] as const) assert.equal(parseSize(text), bytes, text)
  for (const wrong of ['', '-1', '1.5', '0.3KiB', '1mb', '1 M', '1MiBs', 'MiB', '1e3', '1,5GiB', '99999999TiB', ' 1MiB', '1  MiB', '1PiB']) assert.equal(parseSize(wrong), undefined, wrong)
})

test('sizes are written so that they are read back', () => {
  for (const bytes of [0, 1, 1000, 1024, 1536, 67108864, 20e9, 2 ** 41, 2 ** 50]) assert.equal(parseSize(formatSize(bytes)), bytes)
  assert.equal(formatSize(67108864), '64MiB')
  assert.equal(roundSize(20e9), '18.6 GiB')
  assert.equal(roundSize(12), '12 bytes')
})
