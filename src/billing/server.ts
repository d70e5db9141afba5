// One listener of the billing server: bounds, content negotiation, errors as the contract says, the OpenAPI document. It is
// not the hot path, so the framework does the work; no answer ever holds words that weren't written for clients.
import { METHODS } from 'node:http'
import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { TollgateError } from '../domain/errors.ts'
import { problemOf } from '../platform/http-problem.ts'
import type { Logger } from '../platform/logger.ts'
import { version } from '../platform/version.ts'
import type { BillingMetrics } from './billing-metrics.ts'
import type { ListenOptions } from './options.ts'
import { addOperatorRoutes, addRoutes } from './routes.ts'
import type { RouteParts } from './routes.ts'

export interface ListenerParts extends RouteParts {
  readonly name: 'member' | 'private'
  readonly listen: ListenOptions
  readonly log: Logger
  readonly metrics: BillingMetrics
}

const bodyBytesMax = 1024
const headBytesMax = 16 * 1024
const receiveTimeoutMs = 10_000
const answerTimeoutMs = 30_000
const keepAliveMs = 10_000
const connectionsMax = 512
/** Longer than any identifier; what is longer than this is no route of ours. */
const paramCharactersMax = 512

/** To what is no HTTP request at all. */
const malformedBody = JSON.stringify({ success: false, code: 'M0010', message: 'malformed request' })
const malformedAnswer = `HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${malformedBody.length}\r\n\r\n${malformedBody}`

/** Built, but not listening. */
export async function buildListener (parts: ListenerParts): Promise<FastifyInstance> {
  const answerError = (error: unknown, _: FastifyRequest, reply: FastifyReply): void => {
    const problem = problemOf(billingError(error), 'M0003')
    if (problem.status === 500) parts.log.error({ error }, 'a question could not be answered')
    if (problem.code === 'M0009') void reply.header('retry-after', '1')
    void reply.code(problem.status).type('application/json; charset=utf-8').serializer(JSON.stringify).send({ success: false, code: problem.code, message: problem.message })
  }
  const app = Fastify({
    bodyLimit: bodyBytesMax,
    connectionTimeout: answerTimeoutMs + receiveTimeoutMs,
    requestTimeout: receiveTimeoutMs,
    handlerTimeout: answerTimeoutMs,
    keepAliveTimeout: keepAliveMs,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: paramCharactersMax },
    http: { maxHeaderSize: headBytesMax, headersTimeout: receiveTimeoutMs },
    // Input is taken as it is or refused, never bent into shape.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    frameworkErrors: answerError,
    clientErrorHandler: (_, socket) => {
      if (socket.writable) socket.end(malformedAnswer)
    }
  })
  app.server.maxConnections = connectionsMax
  app.setErrorHandler(answerError)
  app.setNotFoundHandler((request, reply) => { answerError(new TollgateError('M0008', 'there is nothing at this address'), request, reply) })
  app.addHook('onRequest', async (request) => {
    if (request.routeOptions.url?.endsWith('/ping') !== true && !acceptsJson(request.headers.accept)) throw new TollgateError('M0004', 'answers are application/json')
  })
  app.addHook('onSend', async (_, reply) => { void reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }) })
  app.addHook('onResponse', async (request, reply) => {
    parts.metrics.answered({ listener: parts.name, route: request.routeOptions.url ?? 'none', status: reply.statusCode, durationMs: reply.elapsedTime })
  })
  await describe(app, parts)
  const urls = new Set<string>()
  app.addHook('onRoute', ({ url }) => { urls.add(url) })
  addRoutes(app, parts)
  if (parts.name === 'private') addOperatorRoutes(app, parts)
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
  refuseOtherMethods(app, [...urls])
  await app.ready()
  return app
}

/** @throws TollgateError PORT_IN_USE */
export async function openListener (parts: ListenerParts): Promise<FastifyInstance> {
  const app = await buildListener(parts)
  const { host, port } = parts.listen
  try {
    await app.listen({ host, port })
  } catch (error) {
    await app.close()
    throw new TollgateError('PORT_IN_USE', `billing can't listen on ${host}:${port}: ${(error as Error).message}`, { cause: error })
  }
  return app
}

/** Everything here is only read. Who asks with another method learns that, and not that the address is none. */
function refuseOtherMethods (app: FastifyInstance, urls: readonly string[]): void {
  const others = METHODS.filter((method) => !['GET', 'HEAD', 'CONNECT'].includes(method))
  for (const method of others) if (!app.supportedMethods.includes(method)) app.addHttpMethod(method)
  const refuse = async (_: FastifyRequest, reply: FastifyReply): Promise<void> => {
    void reply.header('allow', 'GET, HEAD')
    throw new TollgateError('M0011', 'this address is only read: GET and HEAD')
  }
  for (const url of urls) app.route({ method: others, url, schema: { hide: true }, onRequest: refuse, handler: refuse })
}

async function describe (app: FastifyInstance, { name, security }: ListenerParts): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: name === 'member' ? 'Tollgate billing: a member\'s own charges' : 'Tollgate billing: all members\' charges', version },
      components: { securitySchemes: { [security]: { type: 'http', scheme: 'bearer' } } }
    }
  })
}

const dateFields = new Set(['startDate', 'endDate', 'from', 'to'])

/** The framework's own errors in the contract's codes. */
function billingError (error: unknown): unknown {
  const { validation, statusCode, code } = error as Partial<FastifyError>
  if (validation !== undefined) {
    const [first] = validation
    const missing = first?.params['missingProperty']
    const field = first?.instancePath.slice(1) || (typeof missing === 'string' ? missing : '')
    return dateFields.has(field) ? new TollgateError('M0002', 'dates are given as yyyy-MM-dd, the first and the last day') : new TollgateError('M0010', `${field || 'a parameter'} ${first?.message ?? 'is malformed'}`)
  }
  if (code === 'FST_ERR_HANDLER_TIMEOUT') return new TollgateError('M0009', 'the answer took too long, try again')
  const isClientsFault = code?.startsWith('FST_ERR') === true && statusCode !== undefined && statusCode >= 400 && statusCode < 500
  return isClientsFault ? new TollgateError('M0010', 'the request is malformed or too large') : error
}

/** RFC 9110, 12.5.1, for the one type that is on offer. */
function acceptsJson (accept: string | undefined): boolean {
  if (accept === undefined || accept.trim() === '') return true
  return accept.split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    const isRefused = parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter))
    return !isRefused && ['application/json', 'application/*', '*/*'].includes(type)
  })
}
