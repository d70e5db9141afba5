// Header rules in both directions, against a model that looks at one header at a time: nothing of a hop goes further, nobody but
// the gateway says who calls, the rest goes on unchanged and in order, and nothing that could split a message gets through.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { HttpRequest } from 'uWebSockets.js'
import { readAnswerHead } from '../../src/gateway/answer-head.ts'
import { RequestHead } from '../../src/gateway/request-head.ts'
import { assertHoldsAndKills } from '../helpers/mutants.ts'

type Pair = readonly [name: string, value: string]
/** What goes on; undefined: the whole message is refused. */
type Rule = (given: readonly Pair[]) => readonly Pair[] | undefined

const custom = ['x-a', 'x-b', 'accept', 'x_c', 'content-type', 'set-cookie']
const tokens = fc.constantFrom(...custom, 'close', 'keep-alive', 'X-A', ' x-b', 'upgrade')
const connection = fc.array(tokens, { minLength: 1, maxLength: 3 }).map((named): Pair => ['connection', named.join(',')])
const value = fc.constantFrom('1', '', 'a b', 'k,v', 'trailers')

const isNamedBy = (given: readonly Pair[], name: string): boolean =>
  given.some(([header, text]) => header === 'connection' && text.split(',').some((token) => token.trim().toLowerCase() === name))
const flat = (pairs: readonly Pair[]): string[] => pairs.flat()
const pairsOf = (list: readonly (string | Buffer)[]): Pair[] => Array.from({ length: list.length / 2 }, (_, at): Pair => [String(list[2 * at]), String(list[2 * at + 1])])

const requestHop = ['keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer', 'http2-settings', 'expect']
const gatewaysOwn = ['x-member-id', 'x-api-key-id', 'x-member-grade', 'x-api-key', 'x-trace-id', 'x-forwarded-for', 'x-forwarded-host', 'forwarded', 'traceparent']
const disguised = ['x_member_id', 'x_api_key-id', 'x-member_grade', 'x_forwarded_for', 'content_length', 'user_agent']
const badNames = ['x a', 'x:', 'x(']
const requestHeaders = fc.array(fc.oneof(
  { weight: 5, arbitrary: fc.tuple(fc.constantFrom(...custom), value) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom(...requestHop, ...gatewaysOwn, ...disguised), value) },
  { weight: 2, arbitrary: connection },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...badNames), value) }
), { maxLength: 8 })

const readRequest: Rule = (given) => {
  const head = new RequestHead()
  const verdict = head.read({
    getCaseSensitiveMethod: () => 'GET', getUrl: () => '/', getQuery: () => undefined,
    forEach: (visit: (name: string, text: string) => void) => { for (const [name, text] of [['host', 'h'] as const, ...given]) visit(name, text) }
  } as unknown as HttpRequest)
  return verdict === 'good' ? pairsOf(head.headers) : undefined
}

const requestModel: Rule = (given) => {
  if (given.some(([name]) => badNames.includes(name))) return undefined
  return given.filter(([name]) => name !== 'connection' && ![...requestHop, ...gatewaysOwn, ...disguised].includes(name) && !isNamedBy(given, name))
}

test('requests: the hop\'s headers and what only the gateway may say are taken out, the rest goes on as it came', () => {
  const property = (rule: Rule) => fc.property(requestHeaders, (given) => { assert.deepEqual(rule(given), requestModel(given)) })
  const withoutSome = (isLeftOut: (name: string) => boolean): Rule => (given) => readRequest(given.filter(([name]) => !isLeftOut(name)))
  assertHoldsAndKills(property, readRequest, {
    'Connection is not looked at': withoutSome((name) => name === 'connection'),
    'only the last Connection counts': (given) => readRequest(given.filter(([name], at) => name !== 'connection' || at === given.findLastIndex(([other]) => other === 'connection'))),
    'names of Connection have a case': (given) => readRequest(given.filter(([name, text]) => name !== 'connection' || text === text.toLowerCase())),
    'an underscore is a disguise': (given) => readRequest(given.map(([name, text]): Pair => [disguised.includes(name) ? `x-${name.length}` : name, text])),
    'any underscore is refused': withoutSome((name) => name.includes('_')),
    'a hop\'s header goes on': (given) => readRequest(given.map(([name, text]): Pair => [name === 'te' ? 'x-te' : name, text])),
    'who calls is taken from the client': (given) => readRequest(given.map(([name, text]): Pair => [name === 'x-member-id' ? 'x-a' : name, text])),
    'a bad name is left out, not refused': withoutSome((name) => badNames.includes(name)),
    'a header twice is one': (given) => readRequest(given.filter(([name], at) => name === 'connection' || given.findIndex(([other]) => other === name) === at)),
    'the order changes': (given) => readRequest(given.toReversed())
  })
})

const answerHop = ['keep-alive', 'proxy-authenticate', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'date', 'x-trace-id']
const splitting = ['a\r\nb', 'a\nb', 'a\rb', '\0', '\x7f', 'a\u0100']
const limits = ['x-ratelimit-remaining', 'ratelimit', 'ratelimit-policy']
const answerHeaders = fc.array(fc.oneof(
  { weight: 5, arbitrary: fc.tuple(fc.constantFrom(...custom), value) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom(...answerHop, ...limits, 'x-units', 'access-control-allow-origin'), value) },
  { weight: 2, arbitrary: connection },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom('x-a', 'set-cookie'), fc.constantFrom(...splitting)) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...badNames), value) }
), { maxLength: 8 })
const rules = { unitsHeader: 'x-units', isLimited: true, hasCors: true }

const readAnswer: Rule = (given) => {
  const head = readAnswerHead(flat(given), rules)
  return head === undefined ? undefined : pairsOf(head.headers)
}

const answerModel: Rule = (given) => {
  const passed = given.filter(([name]) => name !== 'connection' && ![...answerHop, ...limits, 'x-units', 'access-control-allow-origin'].includes(name) && !isNamedBy(given, name))
  return passed.some(([name, text]) => badNames.includes(name) || splitting.includes(text)) ? undefined : passed
}

test('answers: the hop\'s headers and the gateway\'s own are taken out, and no value of the upstream\'s ever splits an answer', () => {
  const property = (rule: Rule) => fc.property(answerHeaders, (given) => { assert.deepEqual(rule(given), answerModel(given)) })
  assertHoldsAndKills(property, readAnswer, {
    'a line break is taken out, not refused': (given) => readAnswer(given.map(([name, text]): Pair => [name, splitting.includes(text) ? 'a' : text])),
    'a value that splits is left out': (given) => readAnswer(given.filter(([, text]) => !splitting.includes(text))),
    'Connection is not looked at': (given) => readAnswer(given.filter(([name]) => name !== 'connection')),
    'an upstream\'s limits go on': (given) => { const head = readAnswerHead(flat(given), { ...rules, isLimited: false }); return head === undefined ? undefined : pairsOf(head.headers) },
    'an upstream\'s CORS goes on': (given) => { const head = readAnswerHead(flat(given), { ...rules, hasCors: false }); return head === undefined ? undefined : pairsOf(head.headers) },
    'the units header goes on': (given) => { const head = readAnswerHead(flat(given), { ...rules, unitsHeader: '' }); return head === undefined ? undefined : pairsOf(head.headers) },
    'a bad name is left out, not refused': (given) => readAnswer(given.filter(([name]) => !badNames.includes(name))),
    'cookies are put together': (given) => readAnswer(given.filter(([name], at) => name !== 'set-cookie' || given.findIndex(([other]) => other === name) === at))
  })
})
