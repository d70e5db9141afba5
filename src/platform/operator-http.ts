// The operator's listener: health, readiness and metrics, never on the gateway's port, and routes that other parts bring
// along. Its own answers are small and computed on demand; it is not a path for clients.
import { createServer } from 'node:http'
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { SecureContextOptions } from 'node:tls'
import { AggregatorRegistry } from 'prom-client'
import type { Logger } from './logger.ts'
import { tlsServerDefaults } from './tls.ts'
import type { Health, MetricsJson } from './thread.ts'

export interface OperatorSource {
  readonly name: string
  readonly health: () => Promise<Health>
  readonly metrics: () => Promise<readonly MetricsJson[]>
}

/** Of what is always ready, and has metrics to show. */
export function metricsSource (name: string, metrics: () => Promise<readonly MetricsJson[]>): OperatorSource {
  return { name, health: async () => ({ isReady: true, reasons: [] }), metrics }
}

/** Answers requests below a path by itself, whatever their method. */
export interface OperatorRoute {
  /** Such as `/files`. */
  readonly prefix: string
  /** Answers the request in full, errors that it knows included. @param path what stands behind the prefix, without the query */
  readonly answer: (request: IncomingMessage, response: ServerResponse, path: string) => Promise<void>
}

export interface OperatorOptions {
  readonly host: string
  readonly port: number
  /** PEM texts. */
  readonly tls?: { readonly certificate: string, readonly key: string } | undefined
  readonly sources: () => readonly OperatorSource[]
  readonly routes: () => readonly OperatorRoute[]
  readonly phase: () => 'starting' | 'serving' | 'stopping'
  readonly log: Logger
}

interface Answer { readonly status: number, readonly contentType: string, readonly body: string }

const requestBytesMax = 8 * 1024
const headTimeoutMs = 5_000
/** The largest file that another machine reads or brings takes less. */
const requestTimeoutMs = 600_000
const connectionsMax = 64

const json = (status: number, content: unknown): Answer => ({ status, contentType: 'application/json', body: `${JSON.stringify(content)}\n` })

async function readiness ({ sources, phase }: OperatorOptions): Promise<Answer> {
  const now = phase()
  if (now === 'stopping') return json(503, { isReady: false, parts: {}, reasons: [now] })
  const healths = await Promise.all(sources().map(async (source) => [source.name, await source.health()] as const))
  // What has started already may say what the rest waits for.
  if (now === 'starting') return json(503, { isReady: false, parts: Object.fromEntries(healths), reasons: [now] })
  const isReady = healths.every(([, health]) => health.isReady)
  return json(isReady ? 200 : 503, { isReady, parts: Object.fromEntries(healths) })
}

async function metrics ({ sources }: OperatorOptions): Promise<Answer> {
  const all = await Promise.all(sources().map((source) => source.metrics()))
  const merged = AggregatorRegistry.aggregate(all.flat().map((metricsOfThread) => [...metricsOfThread]))
  return { status: 200, contentType: merged.contentType, body: await merged.metrics() }
}

async function answerTo (request: IncomingMessage, path: string, options: OperatorOptions): Promise<Answer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return json(405, { message: 'only GET is answered here' })
  switch (path) {
    // Alive is what the process proves by answering; whether work gets done is readiness.
    case '/healthz': return json(200, { isAlive: true })
    case '/readyz': return await readiness(options)
    case '/metrics': return await metrics(options)
    default: return json(404, { message: 'here are /healthz, /readyz and /metrics' })
  }
}

async function respond (request: IncomingMessage, response: ServerResponse, options: OperatorOptions): Promise<void> {
  const path = request.url?.split('?')[0] ?? ''
  const route = options.routes().find(({ prefix }) => path === prefix || path.startsWith(`${prefix}/`))
  try {
    if (route !== undefined) await route.answer(request, response, path.slice(route.prefix.length))
    else send(request, response, await answerTo(request, path, options))
  } catch (error) {
    options.log.warn({ error, path }, 'an operator request could not be answered')
    if (response.headersSent) response.destroy()
    else send(request, response, json(503, { message: 'a part of the program did not answer' }))
  }
}

function send (request: IncomingMessage, response: ServerResponse, { status, contentType, body }: Answer): void {
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) })
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** For the listener's start, and for `setSecureContext` of one that listens: connections that stand go on as they are. */
export function secureContextOf ({ certificate, key }: NonNullable<OperatorOptions['tls']>): SecureContextOptions {
  return { ...tlsServerDefaults, cert: certificate, key }
}

/** Resolves when it listens; rejects with the listening error. */
export async function openOperatorListener (options: OperatorOptions): Promise<Server> {
  const { tls } = options
  const bounds = { maxHeaderSize: requestBytesMax, headersTimeout: headTimeoutMs, requestTimeout: requestTimeoutMs }
  const listener: RequestListener = (request, response) => { void respond(request, response, options) }
  const server = tls === undefined
    ? createServer(bounds, listener)
    : createSecureServer({ ...bounds, ...secureContextOf(tls) }, listener)
  server.maxConnections = connectionsMax
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, () => { server.off('error', reject); resolve() })
  })
  return server
}
