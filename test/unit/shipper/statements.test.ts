import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openLogger } from '../../../src/platform/logger.ts'
import { Statements } from '../../../src/shipper/statements.ts'
import type { StatementBatch } from '../../../src/shipper/statements.ts'
import type { StreamMark } from '../../../src/usage-log/gateway-progress.ts'

const [a, b] = ['aaaaaaaa-0000-4000-8000-000000000000', 'bbbbbbbb-0000-4000-8000-000000000000'] as const
const mark = (streamId: string, seq: number, state: StreamMark['state'] = 'open'): StreamMark => ({ streamId, gatewayId: 'g', seq, watermarkMs: seq, state, lastSeqs: [[0, seq]] })
const hour = (number: number, journaled: number): { readonly hour: number, readonly answered: number, readonly journaled: number, readonly countedOnly: number, readonly recovered: number } => ({ hour: number, answered: journaled, journaled, countedOnly: 0, recovered: 0 })
const said = (batch: StatementBatch | undefined): string[] | undefined => batch?.records.map(({ key, value }) => `${key.slice(2, 3)}${key.split('|')[2] ?? ''}:${(JSON.parse(String(value)) as { seq?: number, journaled?: number, state?: string }).state ?? String((JSON.parse(String(value)) as { journaled?: number }).journaled)}`)
const open = (): Statements => new Statements(openLogger({ level: 'silent', thread: 'test' }))

test('only the newest mark and hours are said, hours first; new streams before old ones end', () => {
  const statements = open()
  statements.began(a)
  statements.take(mark(a, 0), [])
  for (let seq = 1; seq <= 100; seq++) statements.take(mark(a, seq), [hour(7, seq)])
  statements.began(b)
  statements.take(mark(b, 0), [])
  statements.take(mark(a, 100, 'recovered'), [hour(8, 1)])
  assert.equal(statements.waiting, 4)
  const batch = statements.next(103, true) as StatementBatch
  assert.deepEqual(said(batch), ['b:open', 'a7:100', 'a8:1', 'a:recovered'])
  assert.equal(statements.isOwnSaid, false)
  statements.acknowledged(batch)
  assert.deepEqual([statements.isOwnSaid, statements.saidUpTo, statements.hasUnsaid], [true, 103, false])
  assert.equal(statements.next(103, true), undefined)
})

test('what failed is said again, but for what was replaced meanwhile', () => {
  const statements = open()
  statements.began(a)
  statements.take(mark(a, 1), [hour(7, 1), hour(6, 9)])
  const batch = statements.next(1, true) as StatementBatch
  statements.take(mark(a, 2), [hour(7, 2)])
  statements.failed(batch)
  assert.deepEqual(said(statements.next(2, true)), ['a7:2', 'a6:9', 'a:open'])
})

test('our own end waits until it may be said; until then the stream is said to be open, once', () => {
  const statements = open()
  statements.began(a)
  statements.take(mark(a, 5), [hour(7, 5)])
  statements.take(mark(a, 5, 'closed'), [])
  const batch = statements.next(2, false) as StatementBatch
  assert.deepEqual(said(batch), ['a7:5', 'a:open'])
  statements.acknowledged(batch)
  assert.equal(statements.next(2, false), undefined)
  assert.equal(statements.saidUpTo, 0)
  assert.deepEqual(said(statements.next(2, true)), ['a:closed'])
})

test('an older copy does not take back what the topic says', () => {
  const statements = open()
  statements.published({ streamId: a, seq: 50 })
  statements.began(b)
  statements.take(mark(a, 30, 'recovered'), [hour(7, 30)])
  statements.take(mark(b, 0), [])
  assert.deepEqual(said(statements.next(2, true)), ['b:open'])
  statements.take(mark(a, 50, 'recovered'), [])
  assert.deepEqual(said(statements.next(3, true)), ['a:recovered'])
})
