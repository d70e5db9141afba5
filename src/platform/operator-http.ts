// The operator's listener: health, readiness and metrics, never on the gateway's port. Answers are small and computed
// on demand; it is not a path for clients.
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { AggregatorRegistry } from 'prom-client'
import type { Logger } from './logger.ts'
import type { Health, MetricsJson } from './thread.ts'

export interface OperatorSource {
  readonly name: string
  readonly health: () => Promise<Health>
  readonly metrics: () => Promise<readonly MetricsJson[]>
}

export interface OperatorOptions {
  readonly host: string
  readonly port: number
  readonly sources: () => readonly OperatorSource[]
  readonly phase: () => 'starting' | 'serving' | 'stopping'
  readonly log: Logger
}

interface Answer { readonly status: number, readonly contentType: string, readonly body: string }

const requestBytesMax = 8 * 1024
const requestTimeoutMs = 5_000

const json = (status: number, content: unknown): Answer => ({ status, contentType: 'application/json', body: `${JSON.stringify(content)}\n` })

async function readiness ({ sources, phase }: OperatorOptions): Promise<Answer> {
  if (phase() !== 'serving') return json(503, { isReady: false, parts: {}, reasons: [phase()] })
  const healths = await Promise.all(sources().map(async (source) => [source.name, await source.health()] as const))
  const isReady = healths.every(([, health]) => health.isReady)
  return json(isReady ? 200 : 503, { isReady, parts: Object.fromEntries(healths) })
}

async function metrics ({ sources }: OperatorOptions): Promise<Answer> {
  const all = await Promise.all(sources().map((source) => source.metrics()))
  const merged = AggregatorRegistry.aggregate(all.flat().map((metricsOfThread) => [...metricsOfThread]))
  return { status: 200, contentType: merged.contentType, body: await merged.metrics() }
}

async function answerTo (request: IncomingMessage, options: OperatorOptions): Promise<Answer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return json(405, { message: 'only GET is answered here' })
  switch (request.url?.split('?')[0]) {
    // Alive is what the process proves by answering; whether work gets done is readiness.
    case '/healthz': return json(200, { isAlive: true })
    case '/readyz': return await readiness(options)
    case '/metrics': return await metrics(options)
    default: return json(404, { message: 'here are /healthz, /readyz and /metrics' })
  }
}

/** Resolves when it listens; rejects with the listening error. */
export async function openOperatorListener (options: OperatorOptions): Promise<Server> {
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let answer: Answer
    try {
      answer = await answerTo(request, options)
    } catch (error) {
      options.log.warn({ error }, 'an operator request could not be answered')
      answer = json(503, { message: 'a part of the program did not answer' })
    }
    response.writeHead(answer.status, { 'content-type': answer.contentType, 'content-length': Buffer.byteLength(answer.body) })
    response.end(request.method === 'HEAD' ? undefined : answer.body)
  }
  const server = createServer({ maxHeaderSize: requestBytesMax, requestTimeout: requestTimeoutMs }, (request, response) => { void respond(request, response) })
  server.maxConnections = 64
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, () => { server.off('error', reject); resolve() })
  })
  return server
}
