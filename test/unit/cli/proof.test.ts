import assert from 'node:assert/strict'
import { test } from 'node:test'
import { proofHandlers } from '../../../src/cli/handlers/proof.ts'
import type { ProofParts } from '../../../src/cli/handlers/proof.ts'
import type { AggregatorStatus } from '../../../src/aggregator/operations.ts'
import type { VerifyReport } from '../../../src/aggregator/verify.ts'
import { TollgateError } from '../../../src/domain/errors.ts'
import { parseDate } from '../../../src/domain/window.ts'
import type { LedgerTotals } from '../../../src/ledger/ledger-types.ts'

const hour = parseDate('2026-01-15') as number + 12
const row = { gatewayId: 'demo', hour, answered: 5, recovered: 0, journaled: 5, countedOnly: 0, archived: 5, deadLettered: 0, voided: 0, billable: 4, notBillable: 1, ledgerCount: 4, status: 'open', problems: [] } as const
const report: VerifyReport = { rows: [row], problems: [], unchecked: [], exitCode: 0 }
const status: AggregatorStatus = { historyId: 'h', term: 1, revision: 9, gaps: [], archiveProblems: [], waitingEvents: 0, watermarks: [{ gatewayId: 'demo', watermarkMs: 1_000 }, { gatewayId: 'old', watermarkMs: null }] }
const totals: LedgerTotals = { positions: [{ partition: 0, historyId: 'h', term: 1, revision: 9 }], rows: 0, count: 0, units: 0n, requestBytes: 0n, responseBytes: 0n, errorCount: 0, hours: [], wrongDays: [] }

function handlersWith (parts: Partial<ProofParts> & { readonly statuses?: readonly AggregatorStatus[] }): { readonly ask: (command: string, argument: unknown) => Promise<unknown>, readonly asked: unknown[] } {
  const asked: unknown[] = []
  const statuses = [...parts.statuses ?? [status]]
  const handlers = proofHandlers({
    aggregator: {
      verify: async (question) => { asked.push(question); return report },
      acknowledge: async (question) => { asked.push(question); return { ...question, atMs: 0, row: { ...row, status: 'void' } } },
      rebuild: async (question) => {
        asked.push(question)
        const sums = { count: 2n ** 60n, units: 1n, requestBytes: 1n, responseBytes: 1n, errorCount: 0n }
        return { isApplied: question.apply === true, rows: 3, refusedHours: [hour], differenceCount: 1, differences: [{ hour, memberId: 1, apiKeyId: 2, apiEndpointId: 3, stored: sums, rebuilt: undefined }] }
      },
      status: () => (statuses.length > 1 ? statuses.shift() : statuses[0]) as AggregatorStatus
    },
    ledger: async () => totals,
    clock: { nowMs: () => 1_000, monotonicMs: () => performance.now() },
    askMarks: async () => {},
    isCounting: true,
    ...parts
  })
  return { ask: async (command, argument) => JSON.parse(JSON.stringify(await handlers[command]?.(argument))) as unknown, asked }
}

test('a report crosses as JSON, its hours as texts', async () => {
  const { ask, asked } = handlersWith({})
  assert.deepEqual(await ask('verify', {}), { ...report, rows: [{ ...row, hour: '2026-01-15T12' }] })
  assert.deepEqual(asked, [{ ledger: totals }])
})

test('waiting ends when every gateway has said that nothing older will follow, and the ledger has it', async () => {
  const early = { ...status, watermarks: [{ gatewayId: 'demo', watermarkMs: 999 }] }
  const none = { ...status, watermarks: [] }
  const held = { ...status, gaps: [{ streamId: 's', afterSeq: 1, reason: 'missing' }] }
  const ledgers = [totals, { ...totals, positions: [{ partition: 0, historyId: 'h', term: 1, revision: 8 }] }]
  const { ask } = handlersWith({ statuses: [none, early, held, status], ledger: async () => ledgers.pop() ?? totals })
  assert.equal((await ask('verify', { waitS: 30 }) as VerifyReport).exitCode, 0)
})

test('what is not counted in time could not be checked', async () => {
  const { ask } = handlersWith({ statuses: [{ ...status, watermarks: [{ gatewayId: 'demo', watermarkMs: 999 }] }], isCounting: false })
  const answer = await ask('verify', { waitS: 60 }) as VerifyReport
  assert.equal(answer.exitCode, 2)
  assert.match(answer.unchecked.join(), /is not running/)
})

test('a ledger that is still reading is not compared', async () => {
  const { ask, asked } = handlersWith({ ledger: () => Promise.reject(new TollgateError('LEDGER_BEHIND', 'reading')) })
  await ask('verify', {})
  assert.deepEqual(asked, [{ ledger: undefined }])
  const broken = handlersWith({ ledger: () => Promise.reject(new Error('broken')) })
  await assert.rejects(broken.ask('verify', {}), /broken/)
})

test('an acknowledgement names gateway, hour and reason; the hour is strict', async () => {
  const { ask, asked } = handlersWith({})
  const kept = await ask('verify.acknowledge', { gatewayId: 'demo', hour: '2026-01-15T12', reason: 'a dead disk' }) as { hour: string, at: string }
  assert.deepEqual([kept.hour, kept.at], ['2026-01-15T12', '1970-01-01T00:00:00.000Z'])
  assert.deepEqual(asked, [{ gatewayId: 'demo', hour, reason: 'a dead disk', ledger: totals }])
  for (const wrong of ['2026-01-15', '2026-01-15T24', '2026-01-15T12:00', 'now']) await assert.rejects(ask('verify.acknowledge', { gatewayId: 'demo', hour: wrong, reason: 'x' }), { code: 'ARGUMENT_INVALID' })
  await assert.rejects(ask('verify.acknowledge', { gatewayId: 'demo', hour: '2026-01-15T12' }), { code: 'ARGUMENT_INVALID' })
})

test('a rebuild keeps exact sums', async () => {
  const { ask, asked } = handlersWith({})
  const answer = await ask('rebuild', { apply: true }) as { differences: { stored: { count: string } | null, rebuilt: unknown }[], refusedHours: string[], isApplied: boolean }
  assert.deepEqual(answer.refusedHours, ['2026-01-15T12'])
  assert.equal(answer.differences[0]?.stored?.count, '1152921504606846976')
  assert.equal(answer.differences[0].rebuilt, null)
  assert.equal(answer.isApplied, true)
  assert.deepEqual(asked, [{ apply: true }])
  await assert.rejects(ask('rebuild', { apply: 'yes' }), { code: 'ARGUMENT_INVALID' })
})
