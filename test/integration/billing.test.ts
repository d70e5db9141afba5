// The billing server as its clients meet it: who may see what, what malformed questions get, and that no question does
// anything but read.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { TollgateError } from '../../src/domain/errors.ts'
import { signApiKeyToken } from '../../src/domain/api-key.ts'
import { parseDate } from '../../src/domain/window.ts'
import { expiredToken, memberSecret, memberToken, openTestBilling, operatorToken } from '../helpers/billing-ledger.ts'

const range = 'startDate=2026-01-14&endDate=2026-01-16'
const chargeUrl = `/api/aggregation/v1/member/7/charge?${range}`
const privateUrl = `/private/aggregation/v1/member/7/charge?${range}`

interface Answer { readonly status: number, readonly code: string | undefined, readonly body: string }

async function ask (app: FastifyInstance, url: string, headers: Record<string, string>): Promise<Answer> {
  const answer = await app.inject({ url, headers })
  const content = answer.headers['content-type']?.toString().startsWith('application/json') === true ? JSON.parse(answer.body) as { code?: string, message?: string } : {}
  if (answer.statusCode >= 400) assert.deepEqual(Object.keys(content), ['success', 'code', 'message'], answer.body)
  assert.doesNotMatch(answer.body, /\bat .+:\d+:\d+|node_modules|\.ts\b|duckdb|select /i, 'an answer with inner words')
  return { status: answer.statusCode, code: content.code, body: answer.body }
}
const asMember = (memberId = 7): Record<string, string> => ({ authorization: `Bearer ${memberToken(memberId)}` })
const asOperator = { authorization: `Bearer ${operatorToken}` }

test('ping answers pong to anybody, and nothing else does', async (t) => {
  const { member, operator } = await openTestBilling(t)
  assert.equal((await ask(member, '/api/aggregation/v1/ping', {})).body, 'pong')
  assert.equal((await ask(operator, '/private/aggregation/v1/ping', {})).body, 'pong')
  assert.deepEqual(await ask(member, chargeUrl, {}), await ask(member, chargeUrl, { authorization: 'Basic abc' }))
  assert.equal((await ask(member, chargeUrl, {})).code, 'M0006')
  assert.equal((await ask(operator, privateUrl, {})).code, 'M0006')
})

test('a member sees their own charges and no other member\'s', async (t) => {
  const { member, asked } = await openTestBilling(t)
  assert.equal((await ask(member, chargeUrl, asMember(7))).status, 200)
  assert.deepEqual(asked, [{ memberId: 7, apiKeyId: undefined, fromHour: parseDate('2026-01-14'), toHour: (parseDate('2026-01-16') as number) + 24, byDayBut: undefined }])
  for (const url of [chargeUrl, chargeUrl.replace('charge', 'charge/total'), '/api/usage/v1/members/7?from=2026-01-14&to=2026-01-14']) {
    const answer = await ask(member, url, asMember(8))
    assert.deepEqual([answer.status, answer.code], [401, 'M0001'])
  }
  assert.equal(asked.length, 1)
})

test('only a valid member token is one', async (t) => {
  const { member } = await openTestBilling(t)
  const claims = { memberId: 7, apiKeyId: 1, grade: 'GRADE_FREE', iatS: 1 } as const
  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"MEMBER_ID":7,"aud":"billing","iat":1,"exp":9999999999}').toString('base64url')}.`
  for (const token of [expiredToken(7), signApiKeyToken(claims, { secret: memberSecret }), unsigned, `${memberToken(7)}x`, operatorToken, 'a.b.c', 'x'.repeat(9_000), '\'; drop table hours; --'.replaceAll(' ', '+')]) {
    const answer = await ask(member, chargeUrl, { authorization: `Bearer ${token}` })
    assert.deepEqual([answer.status, answer.code], [401, 'M0006'], token.slice(0, 40))
  }
})

test('without a member secret every member is refused', async (t) => {
  const { member } = await openTestBilling(t, { memberSecret: undefined })
  assert.equal((await ask(member, chargeUrl, asMember())).code, 'M0006')
})

test('each listener knows its own prefix and its own tokens only', async (t) => {
  const { member, operator } = await openTestBilling(t)
  assert.equal((await ask(member, privateUrl, asOperator)).code, 'M0008')
  assert.equal((await ask(operator, chargeUrl, asMember())).code, 'M0008')
  assert.equal((await ask(operator, privateUrl, asMember())).code, 'M0006')
  assert.equal((await ask(member, chargeUrl, asOperator)).code, 'M0006')
  assert.equal((await ask(operator, privateUrl, { authorization: 'Bearer wrong' })).code, 'M0006')
  assert.equal((await ask(operator, privateUrl, asOperator)).status, 200)
})

const wrongDates: readonly [string | undefined, string | undefined, string][] = [
  [undefined, '2026-01-16', 'M0002'], ['2026-01-14', undefined, 'M0002'], ['', '', 'M0002'],
  ['2026-1-14', '2026-01-16', 'M0002'], ['2026-02-30', '2026-03-01', 'M0002'], ['2026-01-14T00:00', '2026-01-16', 'M0002'],
  ['20260114', '20260116', 'M0002'], ['tomorrow', '2026-01-16', 'M0002'], ['2026-01-14 ', '2026-01-16', 'M0002'], ['-2026-01-14', '2026-01-16', 'M0002'],
  ['2026-01-16', '2026-01-14', 'M0002'], ['2026-01-01', '2026-03-02', 'M0007'], ['0000-01-01', '9999-12-31', 'M0002'], ['1970-01-01', '9999-12-31', 'M0007']
]

test('dates are strict, and a range has its limit', async (t) => {
  const { member, asked } = await openTestBilling(t)
  for (const [from, to, code] of wrongDates) {
    for (const [path, names] of [['aggregation/v1/member/7/charge', ['startDate', 'endDate']], ['aggregation/v1/member/7/charge/total', ['startDate', 'endDate']], ['usage/v1/members/7', ['from', 'to']]] as const) {
      const query = new URLSearchParams({ ...from === undefined ? {} : { [names[0]]: from }, ...to === undefined ? {} : { [names[1]]: to } })
      const answer = await ask(member, `/api/${path}?${query.toString()}`, asMember())
      assert.deepEqual([answer.status, answer.code], [400, code], `${path} ${from} ${to}`)
    }
  }
  assert.deepEqual(asked, [])
  assert.equal((await ask(member, '/api/aggregation/v1/member/7/charge?startDate=2026-01-01&endDate=2026-03-01', asMember())).status, 200)
})

const injections = ['\' or 1=1; drop table hour_hot; --', '1; delete from hour_hot', '1 union select * from hour_hot', '1)--', '0x10', '1e3', '-1', '0', '1.0', ' 1', '１', '%00', '../../etc/passwd', '{"$gt":0}', '9'.repeat(40), '\u0000', '"><script>']

test('SQL and other surprises in any parameter are refused and reach nobody', async (t) => {
  const { member, operator, asked } = await openTestBilling(t)
  for (const text of injections) {
    const value = encodeURIComponent(text)
    const questions = [
      [member, asMember(), `/api/aggregation/v1/member/${value}/charge?${range}`],
      [member, asMember(), `/api/aggregation/v1/member/7/charge?apiKeyId=${value}&${range}`],
      [member, asMember(), `/api/aggregation/v1/member/7/charge?startDate=${value}&endDate=2026-01-16`],
      [member, asMember(), `/api/aggregation/v1/member/7/charge/total?startDate=2026-01-14&endDate=${value}`],
      [member, asMember(), `/api/usage/v1/members/${value}?from=2026-01-14&to=2026-01-16`],
      [member, asMember(), `/api/usage/v1/members/7?from=2026-01-14&to=2026-01-16&by=${value}`],
      [member, asMember(), `/api/usage/v1/members/7?from=2026-01-14&to=2026-01-16&apiKeyId=${value}`],
      [member, asMember(), `/api/usage/v1/members/7?from=2026-01-14&to=2026-01-16&${value}=1`],
      [operator, asOperator, `/private/aggregation/v1/member/${value}/charge?${range}`],
      [operator, asOperator, `/private/usage/v1/members/${value}?from=2026-01-14&to=2026-01-16`],
      [operator, asOperator, `/private/usage/v1/members?from=2026-01-14&to=2026-01-16&after=${value}`],
      [operator, asOperator, `/private/usage/v1/members?from=2026-01-14&to=2026-01-16&limit=${value}`],
      [operator, asOperator, `/private/usage/v1/members?from=${value}&to=2026-01-16`],
      [operator, asOperator, `/private/usage/v1/members?from=2026-01-14&to=2026-01-16&${value}=1`]
    ] as const
    for (const [app, headers, url] of questions) {
      const { status } = await ask(app, url, headers)
      assert.ok(status === 400 || status === 401, `${status} for ${url}`)
    }
    const withHeader = await ask(member, chargeUrl, { authorization: `Bearer ${value}` })
    assert.equal(withHeader.status, 401)
  }
  assert.deepEqual(asked, [])
})

test('a parameter given twice, a broken escape and a foreign address have clear answers', async (t) => {
  const { member } = await openTestBilling(t)
  assert.equal((await ask(member, `${chargeUrl}&apiKeyId=1&apiKeyId=2`, asMember())).code, 'M0010')
  assert.equal((await ask(member, `${chargeUrl}&startDate=2026-01-14`, asMember())).code, 'M0002')
  assert.equal((await ask(member, '/api/aggregation/v1/member/%zz/charge', asMember())).code, 'M0010')
  assert.equal((await ask(member, '/', {})).code, 'M0008')
  assert.equal((await ask(member, `/api/aggregation/v1/member/${'7'.repeat(2_000)}/charge`, asMember())).code, 'M0010')
})

test('only JSON is on offer', async (t) => {
  const { member } = await openTestBilling(t)
  for (const accept of ['text/html', 'text/plain', 'application/xml, image/*', 'application/json;q=0', 'nonsense']) assert.equal((await ask(member, chargeUrl, { ...asMember(), accept })).code, 'M0004', accept)
  for (const accept of ['*/*', 'application/json', 'text/html, application/*;q=0.1', 'APPLICATION/JSON; q=1', '']) assert.equal((await ask(member, chargeUrl, { ...asMember(), accept })).status, 200, accept)
})

test('what goes wrong inside stays inside', async (t) => {
  const billing = await openTestBilling(t)
  const outcomes: readonly [Error, number, string][] = [
    [new Error('IO Error: could not read /var/lib/tollgate/ledger.duckdb at offset 4096'), 500, 'M0003'],
    [new TollgateError('LEDGER_BEHIND', 'the fold is not done'), 503, 'M0009'],
    [new TollgateError('LIMIT_EXCEEDED', 'more than 2000000 rows in duckdb'), 400, 'M0007']
  ]
  for (const [failure, status, code] of outcomes) {
    billing.failure = failure
    const answer = await ask(billing.member, chargeUrl, asMember())
    assert.deepEqual([answer.status, answer.code], [status, code])
  }
})

interface OpenApi { readonly openapi: string, readonly paths: Record<string, Record<string, { parameters?: { name: string, in: string, required?: boolean }[], responses: Record<string, unknown>, security?: unknown }>> }

test('the OpenAPI document has exactly the routes that answer', async (t) => {
  const { member, operator } = await openTestBilling(t)
  for (const [app, prefix] of [[member, '/api'], [operator, '/private']] as const) {
    const { openapi, paths } = (await app.inject('/openapi.json')).json<OpenApi>()
    assert.equal(openapi, '3.1.0')
    const documented = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)).sort()
    assert.deepEqual(documented, [
      `GET ${prefix}/aggregation/v1/member/{memberId}/charge`,
      `GET ${prefix}/aggregation/v1/member/{memberId}/charge/total`,
      `GET ${prefix}/aggregation/v1/ping`,
      `GET ${prefix}/usage/v1/members/{memberId}`,
      ...app === operator ? ['GET /private/usage/v1/members'] : []
    ].sort())
    for (const route of documented) {
      const url = (route.split(' ')[1] ?? '').replace('{memberId}', '7')
      assert.ok(app.hasRoute({ method: 'GET', url: (route.split(' ')[1] ?? '').replace('{memberId}', ':memberId') }), route)
      assert.notEqual((await app.inject(url)).statusCode, 404, route)
    }
    const routes = app.printRoutes({ commonPrefix: false }).match(/\S+ \([A-Z, -]*\bGET\b/g) ?? []
    assert.equal(routes.length, documented.length + 1, 'the document itself is the only route beside')
    const charge = paths[`${prefix}/aggregation/v1/member/{memberId}/charge`]?.['get']
    assert.deepEqual(charge?.parameters?.map(({ name, in: place, required }) => `${place} ${name}${required === true ? '' : '?'}`).sort(), ['path memberId', 'query apiKeyId?', 'query endDate', 'query startDate'])
    assert.deepEqual(Object.keys(charge?.responses ?? {}), ['200', '400', '401', '406', '500', '503'])
    assert.ok(charge?.security !== undefined)
  }
})

test('what is no request, or too large a one, is refused in the same words', async (t) => {
  const { member } = await openTestBilling(t)
  await member.listen({ host: '127.0.0.1', port: 0 })
  const exchange = async (text: string): Promise<string> => {
    const socket = connect((member.server.address() as AddressInfo).port, '127.0.0.1')
    let received = ''
    socket.on('data', (bytes: Buffer) => { received += bytes.toString() })
    socket.on('error', () => {})
    socket.write(text)
    await once(socket, 'close')
    return received
  }
  for (const text of ['nonsense\r\n\r\n', `GET /api/aggregation/v1/ping HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`, 'GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n']) {
    assert.match(await exchange(text), /^HTTP\/1\.1 400 .*"code":"M0010"/s)
  }
  assert.match(await exchange(`POST /api/aggregation/v1/ping HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`), /^HTTP\/1\.1 405 .*allow: GET, HEAD.*"code":"M0011"/s)
  assert.match(await exchange(`QUERY /openapi.json HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`), /^HTTP\/1\.1 405 /)
  assert.match(await exchange(`POST /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`), /^HTTP\/1\.1 404 .*"code":"M0008"/s)
})
