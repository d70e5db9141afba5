// The second opinion: wrk, which costs a tenth of autocannon and so leaves the machine to the gateway. It looks at the
// status only and cuts what is in flight at its end.
import { execFile } from 'node:child_process'
import path from 'node:path'
import { loadThreads } from './saturate.ts'
import type { LoadOutcome, Target } from './saturate.ts'

interface WrkReport {
  readonly requests: number, readonly microseconds: number, readonly connect: number, readonly read: number, readonly write: number
  readonly status: number, readonly timeout: number, readonly p50: number, readonly p99: number
}

/** @throws when an answer was not 200 or a connection failed */
export async function runWrk (target: Target, { connections, seconds }: { readonly connections: number, readonly seconds: number }): Promise<LoadOutcome> {
  const headers = Object.entries(target.headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const argv = ['-t', String(loadThreads), '-c', String(connections), '-d', `${seconds}s`, '-s', path.join(import.meta.dirname, 'report.lua'), ...headers, `http://127.0.0.1:${target.port}${target.path}`]
  const text = await new Promise<string>((resolve, reject) => {
    execFile('wrk', argv, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`wrk failed: ${stderr}`, { cause: error }))
    })
  })
  const report = JSON.parse(text.trim().split('\n').at(-1) ?? '') as WrkReport
  const failures = report.connect + report.read + report.write + report.status + report.timeout
  if (failures > 0) throw new Error(`wrk saw wrong answers or broken connections: ${JSON.stringify(report)}`)
  return { requests: report.requests, seconds: report.microseconds / 1e6, latencyMsP50: report.p50 / 1000, latencyMsP99: report.p99 / 1000 }
}
