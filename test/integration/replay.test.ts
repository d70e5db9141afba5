// Ten thousand real requests of a public web site, replayed in their own time: a key for each client, an upstream that
// answers with the logged status. The bill must equal, client by client and day by day, a count made from the file by
// code that shares nothing with the program.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { startEmbedded } from '../../src/compose/embedded.ts'
import { loadConfig } from '../../src/config/load.ts'
import { writeProgramFiles } from '../helpers/program.ts'
import type { ProgramFiles } from '../helpers/program.ts'

const logFile = path.resolve(import.meta.dirname, '../../../shared/data/apache_logs')
const dayMs = 86_400_000
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

interface Logged { readonly client: string, readonly atMs: number, readonly method: string, readonly target: string, readonly status: number, readonly bytes: number }

function readLog (): Logged[] {
  return readFileSync(logFile, 'utf8').split('\n').filter((line) => line !== '').map((line) => {
    const match = /^(\S+) \S+ \S+ \[(\d+)\/(\w+)\/(\d+):(\d+):(\d+):(\d+) \+0000\] "(\w+) (\S+) [^"]*" (\d+) (\S+)/.exec(line)
    if (match === null) throw new Error(`a line of another format: ${line}`)
    const [, client = '', day, month = '', year, hour, minute, second, method = '', target = '', status, bytes] = match
    const atMs = Date.UTC(Number(year), months.indexOf(month), Number(day), Number(hour), Number(minute), Number(second))
    return { client, atMs, method, target, status: Number(status), bytes: bytes === '-' ? 0 : Number(bytes) }
  })
}

/** The independent count: by splitting the line, not by the expression above; statuses from 500 on aren't billed. */
function countFromFile (shiftMs: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (const line of readFileSync(logFile, 'latin1').trimEnd().split('\n')) {
    const client = line.slice(0, line.indexOf(' '))
    const time = line.slice(line.indexOf('[') + 1, line.indexOf(']'))
    const [date = ''] = time.split(':')
    const [day = '', month = '', year = ''] = date.split('/')
    const afterRequest = line.split('" ')[1] ?? ''
    if (afterRequest.startsWith('5')) continue
    const shifted = new Date(Date.parse(`${day} ${month} ${year} 00:00:00 GMT`) + shiftMs).toISOString().slice(0, 10)
    const key = `${client} ${shifted}`
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}

function sign (claims: object, secret: string): string {
  const encode = (content: object): string => Buffer.from(JSON.stringify(content)).toString('base64url')
  const signed = `${encode({ alg: 'HS256', typ: 'JWT', kid: 'one' })}.${encode(claims)}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

function send (files: ProgramFiles, agent: Agent, logged: Logged, token: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ port: files.ports.gateway, host: '127.0.0.1', agent, method: logged.method, path: logged.target, headers: { 'x-api-key': token, 'x-replay-status': logged.status, 'x-replay-bytes': logged.bytes } }, (response) => {
      response.resume()
      response.once('end', () => { resolve(response.statusCode ?? 0) })
      response.once('error', reject)
    })
    sent.once('error', reject)
    sent.end()
  })
}

async function replay (files: ProgramFiles, log: readonly Logged[], members: ReadonlyMap<string, number>, setClock: (ms: number) => void, shiftMs: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  const sorted = log.toSorted((a, b) => a.atMs - b.atMs)
  for (let from = 0; from < sorted.length;) {
    const atMs = sorted[from]?.atMs ?? 0
    let to = from
    while (sorted[to]?.atMs === atMs) to++
    setClock(atMs + shiftMs)
    const statuses = await Promise.all(sorted.slice(from, to).map((logged) => {
      const memberId = members.get(logged.client) ?? 0
      const token = sign({ APIKEY_ID: memberId, MEMBER_ID: memberId, GRADE_TYPE: 'GRADE_PREMIUM', iat: 1_400_000_000 }, files.apiSecret)
      return send(files, agent, logged, token)
    }))
    statuses.forEach((status, index) => { assert.equal(status, sorted[from + index]?.status, `${sorted[from + index]?.target}`) })
    from = to
  }
  agent.destroy()
}

async function billedByDay (files: ProgramFiles, memberId: number, fromMs: number, toMs: number): Promise<Map<string, number>> {
  const [from, to] = [fromMs, toMs].map((ms) => new Date(ms).toISOString().slice(0, 10))
  const response = await fetch(`http://127.0.0.1:${files.ports.privateBilling}/private/aggregation/v1/member/${memberId}/charge?startDate=${from}&endDate=${to}`, { headers: { authorization: `Bearer ${files.operatorToken}` } })
  const content = await response.json() as { result: { apiKeys: { dayCharges: { date: string, totalCount: number }[] }[] } }
  return new Map(content.result.apiKeys.flatMap((key) => key.dayCharges.map((day) => [day.date, day.totalCount] as const)).filter(([, count]) => count > 0))
}

const isDataThere = existsSync(logFile)

test('a real log replayed in its own time is billed exactly, client by client and day by day', async (t) => {
  if (!isDataThere) { t.skip('the log of real requests is not beside the checkout'); return }
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-replay-'))
  const upstream = createServer((incoming, response) => {
    incoming.resume()
    const status = Number(incoming.headers['x-replay-status'])
    const bytes = status === 304 || status === 204 ? 0 : Math.min(Number(incoming.headers['x-replay-bytes']), 100_000)
    response.writeHead(status, bytes === 0 && status === 304 ? {} : { 'content-length': bytes })
    response.end(incoming.method === 'HEAD' ? undefined : Buffer.alloc(bytes, 'x'))
  })
  await new Promise<void>((resolve) => { upstream.listen(0, '127.0.0.1', resolve) })
  t.after(() => { upstream.close(); upstream.closeAllConnections() })
  const files = await writeProgramFiles({
    folder,
    upstreamUrl: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
    routes: '\n    - { id: site, path: "/**", upstream: main }',
    prices: 'currency: KRW\ngroups:\n  - { id: 1, name: all, prices: [{ cost: "2" }] }\nendpoints:\n  - { id: 1, group: 1, method: GET, path: "/**" }\n',
    extra: 'log: { level: warn }\n'
  })
  const log = readLog()
  assert.equal(log.length, 10_000)
  const firstMs = Math.min(...log.map((logged) => logged.atMs))
  const shiftMs = (Math.floor((Date.now() - firstMs) / dayMs) + 2) * dayMs
  const memory = new SharedArrayBuffer(8)
  const setClock = (ms: number): void => { Atomics.store(new BigInt64Array(memory), 0, BigInt(ms)) }
  setClock(firstMs + shiftMs)
  const loaded = loadConfig({ file: files.configFile, env: {} })
  const program = await startEmbedded(loaded, { clock: { kind: 'shared', memory }, crashPoint: undefined })
  const members = new Map([...new Set(log.map((logged) => logged.client))].map((client, index) => [client, index + 1]))
  await replay(files, log, members, setClock, shiftMs)
  const verify = await program.command('verify', { waitS: 60 }) as { exitCode: number }
  assert.equal(verify.exitCode, 0)

  const expected = countFromFile(shiftMs)
  let total = 0
  const wrong: string[] = []
  for (const [client, memberId] of members) {
    const billed = await billedByDay(files, memberId, firstMs + shiftMs, firstMs + shiftMs + 4 * dayMs)
    for (const count of billed.values()) total += count
    const wanted = [...expected].filter(([key]) => key.startsWith(`${client} `)).map(([key, count]) => `${key.split(' ')[1]} ${count}`).sort()
    const found = [...billed].map(([date, count]) => `${date} ${count}`).sort()
    if (wanted.join() !== found.join()) wrong.push(`${client}: expected ${wanted.join(', ')}; billed ${found.join(', ')}`)
  }
  assert.deepEqual(wrong, [])
  assert.equal(total, 9_997)
  t.diagnostic(`note: 10,000 logged requests of ${members.size} clients, ${total} billed`)
  await program.stop()
  rmSync(folder, { recursive: true })
})
