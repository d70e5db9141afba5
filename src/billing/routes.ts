// The billing server's endpoints, the same for a member and for the operator under each one's prefix.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { roundToWhole } from '../domain/money.ts'
import { rate } from '../domain/rating.ts'
import { chargeAnswer, chargeQuery, chargeTotalAnswer, errorAnswer, memberParams, membersUsageAnswer, membersUsageQuery, usageAnswer, usageQuery } from './answer-schemas.ts'
import type { Guard } from './authentication.ts'
import { chargeOf, grainOf, rangeOf, unpricedCount, usageOf } from './charge.ts'
import type { UsageGrouping } from './charge.ts'
import { membersUsageOf, pageMembers } from './members.ts'
import type { BillingSource } from './source.ts'

export interface RouteParts {
  readonly source: BillingSource
  readonly guard: Guard
  readonly rangeDaysMax: () => number
  /** `/api` or `/private`. */
  readonly prefix: string
  readonly security: string
}

interface Params { readonly memberId: string }
interface ChargeQuery { readonly apiKeyId?: string, readonly startDate: string, readonly endDate: string }
interface MembersUsageQuery { readonly from: string, readonly to: string, readonly after?: string, readonly limit?: string }
interface UsageQuery { readonly apiKeyId?: string, readonly from: string, readonly to: string, readonly by?: UsageGrouping }

const problems = { 400: errorAnswer, 401: errorAnswer, 406: errorAnswer, 500: errorAnswer, 503: errorAnswer }

export function addRoutes (app: FastifyInstance, { source, guard, rangeDaysMax, prefix, security }: RouteParts): void {
  const aggregation = `${prefix}/aggregation/v1`
  const described = (summary: string, querystring: Type.TSchema, answer: Type.TSchema) => ({
    summary, params: memberParams, querystring, security: [{ [security]: [] }], response: { 200: answer, ...problems }
  })
  // Who asks is looked at before what is asked for.
  const onRequest = async (request: FastifyRequest): Promise<void> => {
    guard(request.headers.authorization, (request.params as Partial<Params>).memberId)
  }
  const countedFor = async (request: FastifyRequest, grain: 'hour' | 'day'): ReturnType<BillingSource['counted']> => {
    const { apiKeyId, startDate, endDate } = request.query as ChargeQuery
    return await source.counted({ ...questionOf(request, apiKeyId), grain, ...rangeOf({ from: startDate, to: endDate, daysMax: rangeDaysMax() }) })
  }

  app.get(`${aggregation}/ping`, { schema: { summary: 'Answers pong, to anybody.', produces: ['text/plain'], response: { 200: Type.String({ examples: ['pong'] }) } } }, async (_, reply) => {
    void reply.type('text/plain; charset=utf-8')
    return 'pong'
  })
  app.get(`${aggregation}/member/:memberId/charge`, { onRequest, schema: described('Charges by key, day and hour, in whole units of the currency.', chargeQuery, chargeAnswer) }, async (request) => {
    const counted = await countedFor(request, 'hour')
    return { success: true, result: chargeOf(counted, counted.book) }
  })
  app.get(`${aggregation}/member/:memberId/charge/total`, { onRequest, schema: described('The sum of the charges.', chargeQuery, chargeTotalAnswer) }, async (request) => {
    const { rows, book } = await countedFor(request, 'day')
    const totalCount = rows.reduce((sum, row) => sum + row.count, 0)
    return { success: true, result: { totalCount, totalCost: roundToWhole(rate(rows, book).totalMicros), unpriced: unpricedCount(rows, book) } }
  })
  app.get(`${prefix}/usage/v1/members/:memberId`, { onRequest, schema: described('Usage and exact cost by day, hour, key or endpoint.', usageQuery, usageAnswer) }, async (request) => {
    const { apiKeyId, from, to, by = 'day' } = request.query as UsageQuery
    const range = rangeOf({ from, to, daysMax: rangeDaysMax() })
    const counted = await source.counted({ ...questionOf(request, apiKeyId), grain: grainOf(by), ...range })
    return usageOf(counted, range, by, counted.book)
  })
}

/** For programs of the operator: all members. */
export function addOperatorRoutes (app: FastifyInstance, { source, guard, rangeDaysMax, prefix, security }: RouteParts): void {
  const onRequest = async (request: FastifyRequest): Promise<void> => { guard(request.headers.authorization, undefined) }
  app.get(`${prefix}/usage/v1/members`, {
    onRequest,
    schema: { summary: 'Usage and exact cost of all members, a line each, in pages.', querystring: membersUsageQuery, security: [{ [security]: [] }], response: { 200: membersUsageAnswer, ...problems } }
  }, async (request) => {
    const { from, to, after, limit } = request.query as MembersUsageQuery
    const range = rangeOf({ from, to, daysMax: rangeDaysMax() })
    const counted = await source.countedMembers({ after: Number(after ?? 0), limit: Number(limit ?? pageMembers.default), ...range })
    return membersUsageOf(counted, range, counted.book)
  })
}

function questionOf (request: FastifyRequest, apiKeyId: string | undefined): { readonly memberId: number, readonly apiKeyId?: number } {
  const { memberId } = request.params as Params
  return { memberId: Number(memberId), ...(apiKeyId === undefined ? {} : { apiKeyId: Number(apiKeyId) }) }
}
