// The real program under load, as an operator runs it, before an upstream of several sizes; what it bills and what memory it has.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import assert from 'node:assert/strict'
import { signApiKeyToken } from '../../src/domain/api-key.ts'
import { runCommand, startProgram, writeProgramFiles } from '../helpers/program.ts'
import type { ProgramFiles } from '../helpers/program.ts'
import { testCertificate, testKey } from '../helpers/raw-http-certificate.ts'

export const isLong = process.env['TOLLGATE_LONG'] === 'edge'
export const seed = Number(process.env['TOLLGATE_SEED'] ?? Date.now() % 1_000_000)
export const mebibyte = 1024 * 1024

export interface LoadRig {
  readonly files: ProgramFiles
  readonly port: number
  /** Tokens of a member's keys, signed as an account service would. */
  readonly tokensOf: (memberId: number, keyCount: number) => readonly string[]
  /** Waits until everything is counted and archived, and proves it; then what the member is billed, in requests. */
  readonly billed: (memberId: number) => Promise<number>
  /** Of the program, resident. */
  readonly memoryBytes: () => number
}

export interface LoadRigOptions { readonly isTls?: boolean, readonly env?: Readonly<Record<string, string>> }

export async function startLoadRig (t: TestContext, { isTls = false, env = {} }: LoadRigOptions = {}): Promise<LoadRig> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-load-'))
  const upstream = createServer({ keepAliveTimeout: 60_000 }, answer)
  await new Promise<void>((resolve) => { upstream.listen(0, '127.0.0.1', resolve) })
  const files = await writeProgramFiles({
    folder,
    upstreamUrl: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
    extra: 'log: { level: warn }\njournal: { bytesMax: 256MiB, segmentBytes: 4MiB }\narchive: { flushIntervalMs: 2000 }\n'
  })
  writeFileSync(path.join(folder, 'certificate.pem'), testCertificate)
  writeFileSync(path.join(folder, 'key.pem'), testKey, { mode: 0o600 })
  const tls = { TOLLGATE_GATEWAY__LISTEN__TLS__CERTIFICATE_FILE: 'certificate.pem', TOLLGATE_GATEWAY__LISTEN__TLS__KEY_FILE: 'key.pem' }
  const program = await startProgram(files, { env: { ...env, ...(isTls ? tls : {}) } })
  t.after(async () => {
    await program.kill()
    upstream.close()
    upstream.closeAllConnections()
    rmSync(folder, { recursive: true, force: true })
  })
  return {
    files,
    port: files.ports.gateway,
    tokensOf: (memberId, keyCount) => Array.from({ length: keyCount }, (_, index) => signApiKeyToken({ apiKeyId: memberId * 100 + index, memberId, grade: 'GRADE_PREMIUM', iatS: Math.floor(Date.now() / 1000) - 10 }, { kid: 'one', secret: files.apiSecret })),
    billed: async (memberId) => {
      const verify = await runCommand(files, ['verify', '--wait', '120'], { timeoutMs: 180_000 })
      assert.equal(verify.code, 0, `verify: ${verify.stdout}${verify.stderr}`)
      return await billedCount(files, memberId)
    },
    memoryBytes: () => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${program.process.pid ?? 0}/status`, 'utf8'))?.[1]) * 1024
  }
}

async function billedCount (files: ProgramFiles, memberId: number): Promise<number> {
  const dayMs = 86_400_000
  const today = Math.floor(Date.now() / dayMs) * dayMs
  const [from, to] = [today - dayMs, today].map((ms) => new Date(ms).toISOString().slice(0, 10))
  const response = await fetch(`http://127.0.0.1:${files.ports.privateBilling}/private/aggregation/v1/member/${memberId}/charge/total?startDate=${from}&endDate=${to}`, { headers: { authorization: `Bearer ${files.operatorToken}` } })
  return (await response.json() as { result: { totalCount: number } }).result.totalCount
}

/** …/s404: that status; …/bytes/N and …/chunked/N: so many bytes, with a length or without. Bodies are read to their end first. */
function answer (request: IncomingMessage, response: ServerResponse): void {
  request.on('error', () => {})
  request.resume()
  request.on('end', () => {
    const [, kind = '', number = ''] = /\/(s|bytes\/|chunked\/)(\d+)$/.exec(request.url ?? '') ?? []
    if (kind === 's' || kind === '') {
      const status = Number(number === '' ? 200 : number)
      response.writeHead(status, { 'content-length': 4 }).end('text')
      return
    }
    response.writeHead(200, kind === 'bytes/' ? { 'content-length': number } : {})
    pour(response, Number(number))
  })
}

const piece = Buffer.alloc(64 * 1024, 'x')

function pour (response: ServerResponse, bytes: number): void {
  let left = bytes
  const write = (): void => {
    while (left > 0 && !response.destroyed) {
      const part = left < piece.length ? piece.subarray(0, left) : piece
      left -= part.length
      if (!response.write(part)) { response.once('drain', write); return }
    }
    response.end()
  }
  write()
}
