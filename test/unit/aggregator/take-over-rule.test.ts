// Which side of a partition goes on: every combination of file and topic.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideTakeOver } from '../../../src/aggregator/take-over-rule.ts'
import type { TakeOverFacts } from '../../../src/aggregator/take-over-rule.ts'

const progress: NonNullable<TakeOverFacts['progress']> = { historyId: 'h', term: 1, revision: 5, usageTopicId: 'u', hourlyTopicId: 'now', segment: 0, appliedOffset: 3, archivedOffset: 2, ownerName: 'a' }
const file = { hasCounted: true, hourlyTopicId: 'now', isAhead: true, isCovered: false }
const kindOf = (given: Partial<TakeOverFacts>): string => decideTakeOver({ hourlyTopicId: 'now', progress, file, wasEverCounted: false, ...given }).kind

test('a file goes on when the topic lies in its past, else the topic does', () => {
  assert.equal(kindOf({}), 'keep')
  assert.equal(kindOf({ file: { ...file, isAhead: false } }), 'load')
  assert.equal(kindOf({ file: undefined }), 'load')
  assert.equal(kindOf({ file: { ...file, hasCounted: false, hourlyTopicId: 'old', isAhead: false } }), 'load')
})

test('without a progress only nothing can go on', () => {
  assert.equal(kindOf({ progress: undefined, file: undefined }), 'begin')
  assert.equal(kindOf({ progress: undefined, file: { ...file, hasCounted: false } }), 'begin')
  assert.equal(kindOf({ progress: undefined }), 'ask')
  assert.equal(kindOf({ progress: undefined, file: undefined, wasEverCounted: true }), 'ask')
})

test('a file of the topic that was there before gives way to a topic that has all of it', () => {
  const covered = { ...file, hourlyTopicId: 'old', isAhead: false, isCovered: true }
  assert.equal(kindOf({ file: covered }), 'load')
  assert.equal(kindOf({ file: covered, progress: undefined }), 'ask')
  assert.equal(kindOf({ file: covered, progress: { ...progress, hourlyTopicId: 'old' } }), 'ask')
  const { hourlyTopicId: _id, ...silent } = progress
  assert.equal(kindOf({ file: covered, progress: silent }), 'ask')
})

test('a topic that was made anew is never believed against a file, nor a part of it', () => {
  assert.equal(kindOf({ file: { ...file, hourlyTopicId: 'old' } }), 'ask')
  assert.equal(kindOf({ file: { ...file, hourlyTopicId: 'old', isAhead: false } }), 'ask')
  assert.equal(kindOf({ progress: { ...progress, hourlyTopicId: 'old' }, file: undefined }), 'ask')
  const { hourlyTopicId: _id, ...silent } = progress
  assert.equal(kindOf({ progress: silent, file: undefined }), 'load')
})
