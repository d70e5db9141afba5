// The watchdog's beat: nothing is told until every part has answered, and what they say is told when it changes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { journalLine } from '../../../src/platform/logger.ts'
import { beatOf } from '../../../src/platform/systemd.ts'
import type { OperatorSource } from '../../../src/platform/operator-http.ts'
import type { Health } from '../../../src/platform/thread.ts'

interface Part extends OperatorSource { answer: (health: Health) => void }

function partOf (name: string): Part {
  let resolve: (health: Health) => void = () => {}
  return {
    name,
    health: () => new Promise((settle) => { resolve = settle }),
    metrics: () => Promise.resolve([]),
    answer: (health) => { resolve(health) }
  }
}

const well: Health = { isReady: true, reasons: [] }
const settled = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

test('one part that doesn\'t answer silences the watchdog and is named', async () => {
  const parts = [partOf('journal'), partOf('billing')]
  const told: string[] = []
  const warned: unknown[] = []
  const beat = beatOf(() => parts, (line) => { told.push(line) }, { warn: (fields: unknown) => { warned.push(fields) } })
  beat()
  parts[1]?.answer(well)
  await settled()
  beat()
  beat()
  assert.deepEqual(told, [])
  assert.deepEqual(warned, [{ parts: ['journal'] }, { parts: ['journal'] }])
  parts[0]?.answer(well)
  await settled()
  assert.deepEqual(told, ['WATCHDOG=1'], 'late, but it got on')
  beat()
  for (const part of parts) part.answer(well)
  await settled()
  assert.deepEqual(told, ['WATCHDOG=1', 'WATCHDOG=1'])
})

test('what hinders is told once, and its end too; it doesn\'t silence the watchdog', async () => {
  const part = partOf('journal')
  const told: string[] = []
  const beat = beatOf(() => [part], (line) => { told.push(line) }, { warn: () => { assert.fail('nothing to warn about') } })
  for (const reasons of [['the journal is full'], ['the journal is full'], []]) {
    beat()
    part.answer({ isReady: reasons.length === 0, reasons })
    await settled()
  }
  assert.deepEqual(told, ['WATCHDOG=1', 'STATUS=the journal is full', 'WATCHDOG=1', 'WATCHDOG=1', 'STATUS=serves'])
})

test('a part of which somebody else says that it is stuck silences the watchdog too, until it moves', async () => {
  const part = partOf('journal')
  const told: string[] = []
  const warned: unknown[] = []
  const beat = beatOf(() => [part], (line) => { told.push(line) }, { warn: (fields: unknown) => { warned.push(fields) } })
  for (const health of [{ isReady: false, isStuck: true, reasons: ['its disk hangs'] }, well]) {
    beat()
    part.answer(health)
    await settled()
  }
  assert.deepEqual(told, ['STATUS=its disk hangs', 'WATCHDOG=1', 'STATUS=serves'])
  assert.deepEqual(warned, [{ parts: ['journal'] }])
})

test('a part that fails to answer counts as one that doesn\'t', async () => {
  const told: string[] = []
  const warned: unknown[] = []
  const beat = beatOf(() => [{ ...partOf('gateway'), health: () => Promise.reject(new Error('gone')) }], (line) => { told.push(line) }, { warn: (fields: unknown) => { warned.push(fields) } })
  beat()
  await settled()
  beat()
  assert.deepEqual(told, [])
  assert.equal(warned.length, 2)
})

test('systemd\'s journal reads the level in front of the line', () => {
  const levels = { trace: 7, debug: 7, info: 6, warn: 4, error: 3, fatal: 2 }
  for (const [level, priority] of Object.entries(levels)) assert.equal(journalLine(`{"level":"${level}","time":1}\n`), `<${priority}>{"level":"${level}","time":1}\n`)
})
