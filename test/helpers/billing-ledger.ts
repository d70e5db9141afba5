// A ledger of known content and a price book for it, and the billing server's listeners on them.
import type { TestContext } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { memberGuard, operatorGuard } from '../../src/billing/authentication.ts'
import type { BillingMetrics } from '../../src/billing/billing-metrics.ts'
import { buildListener } from '../../src/billing/server.ts'
import { openBillingSource } from '../../src/billing/source.ts'
import { signMemberToken } from '../../src/domain/api-key.ts'
import { openPriceBook } from '../../src/domain/price-book.ts'
import { parseDate } from '../../src/domain/window.ts'
import type { MemberHour, MemberHoursQuery, MemberTotal, MemberTotalsQuery } from '../../src/ledger/ledger-types.ts'
import { openLogger } from '../../src/platform/logger.ts'

/** Costs of a third of a won show rounding; a second price starts in the middle of a day. */
export const book = openPriceBook({
  currency: 'KRW',
  groups: [
    { id: 1, name: 'reads', prices: [{ cost: '0.333333' }] },
    { id: 2, name: 'writes', prices: [{ cost: '10' }, { from: '2026-01-15T12:00:00Z', cost: '12.5' }] }
  ],
  endpoints: [
    { id: 11, group: 1, method: 'GET', path: '/api/things/{thing}' },
    { id: 12, group: 2, path: '/api/things' }
  ]
})

const midnight = parseDate('2026-01-15') as number
const row = (apiKeyId: number, hour: number, apiEndpointId: number, count: number, units = count): MemberHour =>
  ({ apiKeyId, hour: midnight + hour, apiEndpointId, count, units: BigInt(units), errorCount: apiEndpointId === 12 ? 1 : 0, requestBytes: count * 10, responseBytes: count * 100 })

/** Member 7: two keys, three days, an unpriced path, a price that changes at noon. By key, hour, endpoint. */
export const memberHours: readonly MemberHour[] = [
  row(3, -1, 11, 1), row(3, 0, 11, 1), row(3, 1, 11, 1), row(3, 11, 12, 2), row(3, 12, 12, 2, 4), row(3, 12, 0, 5),
  row(9, 12, 11, 100), row(9, 25, 11, 1)
]
/** Members 7 and 14, a page each: a price that changes at noon keeps what lies before and after it apart. */
export const memberTotals: readonly MemberTotal[] = [
  { memberId: 7, ...row(3, 12, 0, 5) }, { memberId: 7, ...row(3, 0, 11, 104) }, { memberId: 7, ...row(3, 11, 12, 2) }, { memberId: 7, ...row(3, 12, 12, 2, 4) }, { memberId: 14, ...row(20, 0, 11, 3) }
]
export const completeBeforeHour = midnight + 13

export const memberSecret = 'a member secret of enough characters'
export const operatorToken = 'an-operator-token-of-enough-characters'
const nowMs = Date.UTC(2026, 0, 16, 2)

export const memberToken = (memberId: number): string => signMemberToken({ memberId, iatS: nowMs / 1000 - 10, expS: nowMs / 1000 + 3_600 }, { secret: memberSecret })
export const expiredToken = (memberId: number): string => signMemberToken({ memberId, iatS: nowMs / 1000 - 10, expS: nowMs / 1000 - 1 }, { secret: memberSecret })

export interface BillingUnderTest {
  readonly member: FastifyInstance
  readonly operator: FastifyInstance
  /** What the ledger was asked. */
  readonly asked: MemberHoursQuery[]
  readonly askedTotals: MemberTotalsQuery[]
  /** Instead of rows. */
  failure: Error | undefined
}

export async function openTestBilling (t: TestContext, options: { readonly metrics?: BillingMetrics, readonly memberSecret?: string | undefined } = { memberSecret }): Promise<BillingUnderTest> {
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs }
  const log = openLogger({ level: 'silent', thread: 'test' })
  const metrics = options.metrics ?? { answered: () => {}, setWaiting: () => {} }
  const billing: { asked: MemberHoursQuery[], askedTotals: MemberTotalsQuery[], failure: Error | undefined } = { asked: [], askedTotals: [], failure: undefined }
  const source = openBillingSource({
    completeBeforeHour: async () => completeBeforeHour,
    memberTotals: async (query) => {
      if (billing.failure !== undefined) throw billing.failure
      billing.askedTotals.push(query)
      const rows = memberTotals.filter(({ memberId }) => memberId > query.afterMemberId)
      const members = [...new Set(rows.map(({ memberId }) => memberId))].slice(0, query.membersMax)
      const page = rows.filter(({ memberId }) => members.includes(memberId))
      return { rows: page, hasMore: page.length < rows.length }
    },
    memberHours: async (query) => {
      if (billing.failure !== undefined) throw billing.failure
      billing.asked.push(query)
      return memberHours.filter(({ apiKeyId, hour }) => query.memberId === 7 && (query.apiKeyId ?? apiKeyId) === apiKeyId && hour >= query.fromHour && hour < query.toHour)
    }
  }, () => book, clock)
  const parts = { source, rangeDaysMax: () => 60, listen: { host: '127.0.0.1', port: 0 }, log, metrics }
  const member = await buildListener({ ...parts, name: 'member', prefix: '/api', security: 'memberToken', guard: memberGuard(options.memberSecret, clock) })
  const operator = await buildListener({ ...parts, name: 'private', prefix: '/private', security: 'operatorToken', guard: operatorGuard([{ name: 'other', token: 'another-operator-token-of-enough-characters' }, { name: 'test', token: operatorToken }], () => {}) })
  t.after(async () => { await member.close(); await operator.close() })
  return Object.assign(billing, { member, operator })
}
