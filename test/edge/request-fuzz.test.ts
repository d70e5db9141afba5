// A grammar fuzz of the request side against the real program: see fuzz/. Whatever is sent, it lives; an upstream sees what a
// strict reader finds in the bytes and nothing else; each client gets its own answer; and every answered request is one event.
//
// TOLLGATE_SEED and TOLLGATE_FUZZ_CASE repeat a case, TOLLGATE_FUZZ_S says how long it goes on.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { runCommand, runJson, startProgram, writeProgramFiles } from '../helpers/program.ts'
import type { ProgramFiles } from '../helpers/program.ts'
import { caseKinds, makeCase } from './fuzz/request-grammar.ts'
import { FuzzRun } from './fuzz/request-run.ts'
import { readBehind, readStrictly } from './fuzz/strict-reader.ts'
import { RawUpstream } from './raw-upstream.ts'

const isLong = process.env['TOLLGATE_LONG'] === 'fuzz'
const seed = Number(process.env['TOLLGATE_SEED'] ?? Date.now() % 1_000_000)
const forS = Number(process.env['TOLLGATE_FUZZ_S'] ?? (isLong ? 35 * 60 : 15))
const onlyCase = process.env['TOLLGATE_FUZZ_CASE'] === undefined ? undefined : Number(process.env['TOLLGATE_FUZZ_CASE'])
/** Of each kind, where nothing is cut short. */
const casesMin = 20

async function billedCount ({ ports, operatorToken }: ProgramFiles, memberId: number): Promise<number> {
  const [from, to] = [Date.now() - 86_400_000, Date.now()].map((ms) => new Date(ms).toISOString().slice(0, 10))
  const response = await fetch(`http://127.0.0.1:${ports.privateBilling}/private/aggregation/v1/member/${memberId}/charge/total?startDate=${from}&endDate=${to}`, { headers: { authorization: `Bearer ${operatorToken}` } })
  return (await response.json() as { result: { totalCount: number } }).result.totalCount
}

test(`requests of a grammar with mistakes, for ${forS} s, seed ${seed}`, async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tollgate-fuzz-'))
  const upstream = await new RawUpstream().open()
  const files = await writeProgramFiles({ folder, upstreamUrl: upstream.url, extra: 'journal: { bytesMax: 256MiB, segmentBytes: 4MiB }\nlog: { level: warn }\n' })
  const program = await startProgram(files)
  t.after(async () => {
    await program.kill()
    upstream.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const { memberId } = await runJson<{ memberId: number }>(files, ['member', 'create', '--name', 'fuzz'])
  const { token: apiKey } = await runJson<{ token: string }>(files, ['key', 'create', '--member', String(memberId), '--grade', 'GRADE_FREE', '--type', 'opaque'])
  const run = new FuzzRun({
    port: files.ports.gateway, upstream, rules: { apiKey, bodyBytesMax: 10 * 2 ** 20 }, seed, endMs: performance.now() + forS * 1000, onlyCase,
    onProgress: ({ summary }) => { if (isLong) process.stdout.write(`${new Date().toISOString()} ${summary}\n`) }
  })
  await run.run()
  t.diagnostic(`note: ${run.summary}`)
  assert.deepEqual(run.problems, [], `TOLLGATE_SEED=${seed}; log: ${readFileSync(files.logFile, 'utf8').slice(-2_000)}`)
  assert.equal(program.process.exitCode, null, 'the program lives')
  const verify = await runCommand(files, ['verify', '--wait', '60'])
  assert.equal(verify.code, 0, `${verify.stdout}${verify.stderr}`)
  // A client may leave after the upstream has answered and before its own answer is complete: that is billed.
  const billed = await billedCount(files, memberId)
  assert.ok(run.complete <= billed && billed <= run.oracle.seen, `${run.complete} complete answers, ${billed} billed, ${run.oracle.seen} at the upstream`)
  if (onlyCase === undefined) for (const [kind, count] of run.kinds) assert.ok(count >= casesMin, `only ${count} cases of ${kind}`)
})

const rules = { apiKey: 'k', bodyBytesMax: 1_000_000 }
const request = (headers: string, body = '', target = '/api/a'): string => `POST ${target} HTTP/1.1\r\nHost: h\r\nX-API-KEY: k\r\n${headers}\r\n${body}`

test('the strict reader reads as it should', () => {
  const read = (bytes: string): string => {
    const { requests, stop } = readStrictly(bytes, rules)
    return [...requests.map(({ method, target, body, level }) => `${level} ${method} ${target} ${JSON.stringify(body)}`), stop.kind === 'contained' ? `contained ${stop.target}` : stop.kind].join(', ')
  }
  const hidden = request('', '', '/api/hidden')
  for (const [bytes, expected] of [
    [request(''), 'must POST /api/a "", clean'],
    [request('Content-Length: 2\r\n', 'ab'), 'must POST /api/a "ab", clean'],
    [request('Content-Length: 3\r\n', 'ab'), 'unfinished'],
    [request('Content-Length: 2\r\n', `ab${hidden}`), 'must POST /api/a "ab", may POST /api/hidden "", clean'],
    [request('Transfer-Encoding: chunked\r\n', `1\r\na\r\n01\r\nb\r\n0\r\n\r\n`), 'must POST /api/a "ab", clean'],
    [request('Transfer-Encoding: chunked\r\n', `1\r\nab\r\n0\r\n\r\n${hidden}`), 'contained /api/a'],
    [request('Transfer-Encoding: chunked\r\n', `1\r\na\r\n0\r\nX: y\r\n\r\n${hidden}`), 'contained /api/a'],
    [request('Content-Length: 0\r\nContent-Length: 0\r\n'), 'never'],
    [request('Content-Length: 0\r\nTransfer-Encoding: chunked\r\n'), 'never'],
    [request('Transfer-Encoding: xchunked\r\n', hidden), 'never'],
    [request(`: a\r\nContent-Length: ${hidden.length}\r\n`, hidden), 'contained /api/a'],
    [request('X-A: a\rb\r\n'), 'never'],
    [request('X-A: a\nb\r\n'), 'never'],
    [request('X-A: a\r\n b\r\n'), 'never'],
    [request('X-API-KEY: k\r\n'), 'refused POST /api/a "", clean'],
    [request('', '', '/api/../a'), 'refused POST /api/../a "", clean'],
    [request('', '', '/api/%2e%2E/a'), 'refused POST /api/%2e%2E/a "", clean'],
    [request('', '', '/api/a;p'), 'may POST /api/a;p "", clean'],
    [`\r\n${request('')}`, 'never'],
    [request('Transfer-Encoding: chunked\r\n', '1\r\na\r\n0\r\n'), 'contained /api/a'],
    [request('', '', '/api/a?b#c'), 'refused POST /api/a?b#c "", clean'],
    ['GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n', 'never']
  ] as const) assert.equal(read(bytes), expected, JSON.stringify(bytes))
})

test('behind a request in doubt something may run where its length was hidden and it came in pieces, never behind chunks', () => {
  const hidden = request('', '', '/api/hidden')
  const behind = (bytes: string, cuts: readonly number[]): readonly string[] => readBehind(bytes, readStrictly(bytes, rules), cuts, rules).flatMap(({ requests }) => requests.map(({ target }) => target))
  const everyByte = (bytes: string): readonly number[] => Array.from(bytes, (_, at) => at + 1)
  const lengthHidden = request(`: a\r\nContent-Length: ${hidden.length}\r\n`, hidden)
  assert.deepEqual(behind(lengthHidden, everyByte(lengthHidden)), ['/api/hidden'])
  assert.deepEqual(behind(lengthHidden, [lengthHidden.length]), [])
  for (const headers of ['Transfer-Encoding: chunked\r\n', 'Transfer-Encoding: chunked\r\n: a\r\n', 'Transfer-Encoding: \xa0chunked\r\n']) {
    const chunked = request(headers, `5\r\nabcde\r\n\r\n${hidden}`)
    assert.equal(readStrictly(chunked, rules).stop.kind, 'contained')
    assert.deepEqual(behind(chunked, everyByte(chunked)), [], headers)
  }
})

test('a seed makes the same cases again, of every kind, most of them not as they should be', () => {
  const cases = Array.from({ length: 2_000 }, (_, index) => makeCase(index, `n${index}`, 'k'))
  assert.deepEqual(cases, Array.from({ length: 2_000 }, (_, index) => makeCase(index, `n${index}`, 'k')))
  for (const kind of caseKinds) assert.ok(cases.filter((one) => one.kind === kind).length > 100, kind)
  const stops = new Map<string, number>()
  for (const { bytes, cuts } of cases) {
    assert.equal(cuts.at(-1), bytes.length)
    const { requests, stop } = readStrictly(bytes, rules)
    const name = stop.kind === 'clean' && requests.length === 1 ? requests[0]?.level ?? '' : stop.kind
    stops.set(name, (stops.get(name) ?? 0) + 1)
  }
  for (const kind of ['must', 'refused', 'clean', 'unfinished', 'never', 'contained']) assert.ok((stops.get(kind) ?? 0) > 40, `${kind}: ${JSON.stringify([...stops])}`)
})
