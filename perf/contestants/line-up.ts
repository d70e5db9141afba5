// The contestants of the gateway scenario, started side by side on one upstream.
import path from 'node:path'
import { startNodeServer } from '../harness/servers.ts'
import type { Server } from '../harness/servers.ts'
import type { BenchContext } from '../harness/scenario.ts'
import { answerBody, meteredPath, publicPath } from './answer.ts'
import type { Contestant } from './contestant.ts'
import { nginxConfiguration, startNginx } from './nginx.ts'
import { startTollgate } from './tollgate.ts'

export const names = {
  nginx: 'nginx, bare proxy',
  fastify: '@fastify/http-proxy, bare proxy',
  public: 'Tollgate, public route (no key, not metered)',
  unmetered: 'Tollgate, authenticated + limited',
  metered: 'Tollgate, authenticated + limited + durably metered'
} as const

export interface LineUp {
  readonly contestants: readonly Contestant[]
  readonly upstream: Server & { readonly port: number }
  /** The proofs that need no measured time. */
  readonly verify: () => Promise<void>
  readonly settings: readonly string[]
  readonly files: readonly { readonly name: string, readonly text: string }[]
}

/** Replaces the metering by one that settles at once; see the file. */
const unmeteredPreload = path.join(import.meta.dirname, 'unmetered.ts')
export const noBooks = async (): Promise<void> => {}

export async function startUpstream (context: BenchContext): Promise<Server & { readonly port: number }> {
  const upstream = await startNodeServer(path.join(import.meta.dirname, 'upstream-server.ts'), [])
  context.onEnd(upstream.stop)
  return upstream
}

/** The settings of what stands in more than one line-up. */
export const upstreamText = `Upstream: uWebSockets.js in a process of its own, any request answered with 200 and ${answerBody.length} bytes of JSON over kept connections. Request: GET with an API key in X-API-KEY, the same bytes to every contestant.`
export const proxiesText = 'nginx: one worker, connections to the upstream kept, access log on; configuration below. @fastify/http-proxy: its defaults, no log, one process.'
export const meteredText = (archiveFlushMs: number): string =>
  `Tollgate: all roles in one process (gateway worker, journal, aggregator with archive, ledger, billing), default configuration with grades that never refuse, and the archive written each ${archiveFlushMs / 1000} s instead of each minute so that its work is measured too. Its CPU is that of the whole process, from the first request until the last one was on the bill and in the archive. "Gateway and journal" leaves out the threads that count, archive and bill (aggregator, billing, and libuv-worker, where their DuckDB runs): what answers wait for.`

/** The two bare proxies that every line-up has. Their request carries a key that they don't look at. */
export async function startProxies (context: BenchContext, upstreamPort: number, token: string): Promise<Contestant[]> {
  const nginx = await startNginx(path.join(context.folder, 'nginx'), upstreamPort)
  context.onEnd(nginx.stop)
  const fastify = await startNodeServer(path.join(import.meta.dirname, 'fastify-server.ts'), [`http://127.0.0.1:${upstreamPort}`])
  context.onEnd(fastify.stop)
  const common = { path: meteredPath, headers: { 'x-api-key': token }, settle: noBooks }
  return [{ ...common, name: names.nginx, port: nginx.port, pid: nginx.pid }, { ...common, name: names.fastify, port: fastify.port, pid: fastify.pid }]
}

export async function startLineUp (context: BenchContext): Promise<LineUp> {
  const upstream = await startUpstream(context)
  context.say('starting nginx, fastify and Tollgate, metered and not')
  const archiveFlushMs = context.isQuick ? 1_000 : 4_000
  const metered = await startTollgate(context, { folder: path.join(context.folder, 'metered'), upstreamPort: upstream.port, archiveFlushMs })
  const unmetered = await startTollgate(context, { folder: path.join(context.folder, 'unmetered'), upstreamPort: upstream.port, archiveFlushMs, preload: unmeteredPreload, extra: 'metering: { ack: buffered }\n' })
  const token = metered.token
  return {
    contestants: [
      ...await startProxies(context, upstream.port, token),
      { name: names.public, port: metered.files.ports.gateway, path: publicPath, headers: { 'x-api-key': token }, pid: metered.pid, settle: metered.settleUnbilled },
      { name: names.unmetered, port: unmetered.files.ports.gateway, path: meteredPath, headers: { 'x-api-key': unmetered.token }, pid: unmetered.pid, settle: unmetered.settleUnbilled },
      { name: names.metered, port: metered.files.ports.gateway, path: meteredPath, headers: { 'x-api-key': token }, pid: metered.pid, settle: metered.settleBilled }
    ],
    upstream,
    verify: metered.verify,
    settings: [
      upstreamText,
      proxiesText,
      meteredText(archiveFlushMs),
      'Tollgate, authenticated + limited: the same program with the benchmark\'s own metering in place of the product\'s, which forgets the event and releases the answer at once (perf/contestants/unmetered.ts).'
    ],
    files: [{ name: 'nginx.conf', text: nginxConfiguration('GATEWAY', 'UPSTREAM') }]
  }
}
