// The billing server's answers for a ledger of known content, word for word.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { memberToken, openTestBilling, operatorToken } from '../helpers/billing-ledger.ts'

const range = 'startDate=2026-01-14&endDate=2026-01-16'
const questions: readonly { readonly name: string, readonly url: string }[] = [
  { name: 'charge', url: `/api/aggregation/v1/member/7/charge?${range}` },
  { name: 'charge-one-key', url: `/api/aggregation/v1/member/7/charge?apiKeyId=9&${range}` },
  { name: 'charge-nothing', url: '/api/aggregation/v1/member/7/charge?startDate=2026-02-01&endDate=2026-02-01' },
  { name: 'charge-total', url: `/api/aggregation/v1/member/7/charge/total?${range}` },
  ...['day', 'hour', 'key', 'endpoint'].map((by) => ({ name: `usage-by-${by}`, url: `/api/usage/v1/members/7?from=2026-01-14&to=2026-01-16&by=${by}` }))
]

/** `UPDATE_GOLDEN=1` writes the files anew, to be read before they are committed. */
function sameAsGolden (name: string, text: string): void {
  const file = path.join(import.meta.dirname, 'billing', `${name}.json`)
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text)
  assert.equal(text, readFileSync(file, 'utf8'))
}

for (const { name, url } of questions) {
  test(`${name}: the member's answer is the golden one, and the operator's is the same`, async (t) => {
    const { member, operator } = await openTestBilling(t)
    const answer = await member.inject({ url, headers: { authorization: `Bearer ${memberToken(7)}` } })
    assert.equal(answer.statusCode, 200, answer.body)
    assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
    sameAsGolden(name, `${JSON.stringify(JSON.parse(answer.body), undefined, 2)}\n`)
    const same = await operator.inject({ url: url.replace('/api/', '/private/'), headers: { authorization: `Bearer ${operatorToken}` } })
    assert.equal(same.body, answer.body)
  })
}

test('all members, for the operator alone', async (t) => {
  const { member, operator, askedTotals } = await openTestBilling(t)
  const url = '/private/usage/v1/members?from=2026-01-14&to=2026-01-16'
  const headers = { authorization: `Bearer ${operatorToken}` }
  let text = ''
  for (const page of ['&limit=1', '&limit=1&after=7', '', '&after=14']) text += `${page}\n${JSON.stringify(JSON.parse((await operator.inject({ url: url + page, headers })).body), undefined, 2)}\n`
  sameAsGolden('usage-of-all-members', text)
  assert.deepEqual(askedTotals.map(({ afterMemberId, membersMax }) => [afterMemberId, membersMax]), [[0, 1], [7, 1], [0, 100], [14, 100]])
  assert.deepEqual(askedTotals[0]?.splitHours.map((hour) => new Date(hour * 3_600_000).toISOString()), ['2026-01-15T12:00:00.000Z'])
  assert.equal((await member.inject({ url: url.replace('/private/', '/api/'), headers: { authorization: `Bearer ${memberToken(7)}` } })).statusCode, 404)
})
