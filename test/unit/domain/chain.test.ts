import assert from 'node:assert/strict'
import { test } from 'node:test'
import { followChain } from '../../../src/domain/chain.ts'

test('a run that names what was taken last counts, one that was taken is dropped, one with a missing predecessor is a gap', () => {
  assert.deepEqual(followChain(0, { prevSeq: 0, lastSeq: 1 }), { kind: 'count', takeAfterSeq: 0 })
  assert.deepEqual(followChain(7, { prevSeq: 7, lastSeq: 9 }), { kind: 'count', takeAfterSeq: 7 })
  assert.deepEqual(followChain(7, { prevSeq: 4, lastSeq: 7 }), { kind: 'duplicate' })
  assert.deepEqual(followChain(7, { prevSeq: 4, lastSeq: 9 }), { kind: 'count', takeAfterSeq: 7 }, 'a run that was taken in part is taken from there')
  assert.deepEqual(followChain(7, { prevSeq: 8, lastSeq: 9 }), { kind: 'gap', afterSeq: 7 })
  assert.deepEqual(followChain(0, { prevSeq: 3, lastSeq: 4 }), { kind: 'gap', afterSeq: 0 }, 'also at the beginning: nobody starts in the middle')
})
