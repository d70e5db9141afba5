// The list of fields is that of the encoder, the strict reader and the archive.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventColumns } from '../../../src/aggregator/event-columns.ts'
import { eventFields } from '../../../src/domain/event-fields.ts'
import { parseUsageEvent } from '../../../src/domain/usage-event.ts'
import { usageLineOf } from '../../helpers/usage-records.ts'

// The two have, between them, every field that there is.
const [answered, refused] = [usageLineOf(1), usageLineOf(11)].map((line) => JSON.parse(line) as Record<string, unknown>)
const whole: Record<string, unknown> = { ...refused, ...answered }

test('every field that an event can have is in the list, in the journal\'s order, and in the archive', () => {
  const inOrder = (names: readonly string[]): string[] => Object.keys(eventFields).filter((name) => names.includes(name))
  for (const one of [answered, refused]) assert.deepEqual(Object.keys(one ?? {}), inOrder(Object.keys(one ?? {})))
  assert.deepEqual(Object.keys(whole).sort(), Object.keys(eventFields).sort())
  assert.deepEqual(Object.keys(eventColumns).sort(), Object.keys(eventFields).sort())
})

test('fields are needed, and of the kind, that the list says', () => {
  for (const [name, { kind, isRequired }] of Object.entries(eventFields)) {
    const without = Object.fromEntries(Object.entries(whole).filter(([key]) => key !== name))
    assert.equal('problem' in parseUsageEvent(JSON.stringify(without)), isRequired, name)
    const isNumber = kind === 'number' || kind === 'amount'
    assert.equal(typeof whole[name], isNumber ? 'number' : 'string', name)
    assert.equal(/TIMESTAMP/.test(eventColumns[name as keyof typeof eventColumns]), kind === 'time', name)
    assert.equal(/INT/.test(eventColumns[name as keyof typeof eventColumns]), isNumber, name)
  }
})
