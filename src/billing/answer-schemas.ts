// The shapes of the billing server's questions and answers: they check what comes in, write what goes out, and are the
// OpenAPI document.
import Type from 'typebox'
import { usageGroupings } from './charge.ts'
import { pageMembers } from './members.ts'

const count = (description: string) => Type.Integer({ description, minimum: 0 })
const wholeCost = (description: string) => Type.Integer({ description })
const decimal = (description: string) => Type.String({ description, pattern: '^-?[0-9]+$' })
const date = (description: string) => Type.String({ description, format: 'date', examples: ['2026-01-31'] })

/** Positive and safe as a number of JavaScript: the pattern admits up to 15 digits. */
const identifier = (description: string) => Type.String({ description, pattern: '^[1-9][0-9]{0,14}$', examples: ['1'] })

export const memberParams = Type.Object({ memberId: identifier('The member.') })

export const chargeQuery = Type.Object({
  apiKeyId: Type.Optional(identifier('Only this key; all keys of the member without it.')),
  startDate: date('First day, UTC, yyyy-MM-dd.'),
  endDate: date('Last day, included.')
})

export const usageQuery = Type.Object({
  apiKeyId: Type.Optional(identifier('Only this key; all keys of the member without it.')),
  from: Type.String({ description: 'First day, UTC, yyyy-MM-dd.', examples: ['2026-01-01'] }),
  to: Type.String({ description: 'Last day, included.', examples: ['2026-01-31'] }),
  by: Type.Optional(Type.Enum([...usageGroupings], { description: 'What a line stands for; a day without it.' }))
}, { additionalProperties: false })

const totalCount = count('Billed requests.')
const totalCost = wholeCost('Whole units of the currency; the sum of the costs shown below it.')
const unpricedCount = count('Requests that no endpoint of the price book matched: contained in the counts, at cost 0.')

const hourCharge = Type.Object({
  hour: Type.Integer({ description: 'Hour of the day, UTC.', minimum: 0, maximum: 23 }),
  cost: wholeCost('Whole units of the currency.'),
  count: count('Billed requests.'),
  complete: Type.Boolean({ description: 'No request of this hour will follow.' })
})
const dayCharge = Type.Object({ date: date('The day, UTC.'), hours: Type.Array(hourCharge), totalCount, totalCost })
const keyCharge = Type.Object({ apiKey: Type.Integer({ description: 'The key\'s number, never its token.' }), dayCharges: Type.Array(dayCharge), totalCost, totalCount })

export const chargeAnswer = Type.Object({
  success: Type.Literal(true),
  result: Type.Object({ memberId: Type.Integer(), apiKeys: Type.Array(keyCharge), totalCost, totalCount, unpriced: unpricedCount })
})

export const chargeTotalAnswer = Type.Object({
  success: Type.Literal(true),
  result: Type.Object({ totalCount, totalCost, unpriced: unpricedCount })
})

const sums = {
  count: count('Billed requests.'),
  units: decimal('Units, exact.'),
  errorCount: count('Billed requests that the upstream answered with 4xx.'),
  requestBytes: count('Bytes of request bodies.'),
  responseBytes: count('Bytes of answers\' bodies.'),
  costMicros: decimal('Millionths of the currency\'s unit, exact.')
}

const completeBefore = () => Type.Union([Type.String({ format: 'date-time' }), Type.Null()], { description: 'No request before this instant will follow; null while that isn\'t known.' })

const usageLine = Type.Object({
  date: Type.Optional(date('By day and by hour.')),
  hour: Type.Optional(Type.Integer({ description: 'By hour: hour of the day, UTC.', minimum: 0, maximum: 23 })),
  isComplete: Type.Optional(Type.Boolean({ description: 'By day and by hour: nothing will follow.' })),
  apiKeyId: Type.Optional(Type.Integer({ description: 'By key.' })),
  apiEndpointId: Type.Optional(Type.Integer({ description: 'By endpoint: its number in the price book, 0 for unpriced.' })),
  endpoint: Type.Optional(Type.Union([Type.String(), Type.Null()], { description: 'By endpoint: method and path; null where the price book doesn\'t have it.' })),
  ...sums
})

export const usageAnswer = Type.Object({
  memberId: Type.Integer(),
  from: date('First day.'),
  to: date('Last day.'),
  by: Type.Enum([...usageGroupings]),
  currency: Type.String({ examples: ['KRW'] }),
  lines: Type.Array(usageLine),
  total: Type.Object(sums),
  unpriced: Type.Object({ count: unpricedCount, units: decimal('Their units.') }),
  completeBefore: completeBefore()
})

export const membersUsageQuery = Type.Object({
  from: Type.String({ description: 'First day, UTC, yyyy-MM-dd.', examples: ['2026-01-01'] }),
  to: Type.String({ description: 'Last day, included.', examples: ['2026-01-31'] }),
  after: Type.Optional(identifier('Only members with larger numbers: the `next` of the page before.')),
  limit: Type.Optional(Type.String({ description: `Members of a page, at most ${pageMembers.max}; ${pageMembers.default} without it.`, pattern: '^([1-9][0-9]{0,2}|1000)$', examples: ['100'] }))
}, { additionalProperties: false })

export const membersUsageAnswer = Type.Object({
  from: date('First day.'),
  to: date('Last day.'),
  currency: Type.String({ examples: ['KRW'] }),
  members: Type.Array(Type.Object({ memberId: Type.Integer(), ...sums, unpriced: Type.Object({ count: unpricedCount, units: decimal('Their units.') }) })),
  next: Type.Union([Type.Integer(), Type.Null()], { description: 'Give it as `after` for the next page; null on the last one.' }),
  completeBefore: completeBefore()
})

export const errorAnswer = Type.Object({
  success: Type.Literal(false),
  code: Type.String({ examples: ['M0002'] }),
  message: Type.String()
}, { description: 'What went wrong; docs/errors.md has every code.' })
