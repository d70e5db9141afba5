// The admin API, over the operator listener: members and keys for programs such as a sign-up service. The handlers are those
// of the command line. docs/admin.md describes it for people, GET /admin/v1/openapi.json for programs.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AuditLog } from '../cli/audit.ts'
import type { ControlHandlers } from '../cli/control-server.ts'
import { TollgateError } from '../domain/errors.ts'
import { isCatalogued, problemOf } from '../platform/http-problem.ts'
import { readJsonBody } from '../platform/json-body.ts'
import type { Logger } from '../platform/logger.ts'
import type { OperatorRoute } from '../platform/operator-http.ts'
import { adminOpenApi } from './admin-openapi.ts'
import { adminOperations } from './admin-operations.ts'
import type { AdminOperation, Asked } from './admin-operations.ts'
import { openBearerTokens } from './bearer-tokens.ts'

export interface Admin { readonly name: string, readonly token: string, readonly role: 'read' | 'write' }

export interface AdminParts {
  readonly handlers: ControlHandlers
  /** As of the last reload. */
  readonly admins: () => readonly Admin[]
  readonly audit: AuditLog
  readonly log: Logger
}

const bodyBytesMax = 64 * 1024
const prefix = '/admin/v1'

export function adminRoutes ({ handlers, admins, audit, log }: AdminParts): OperatorRoute[] {
  const operations = adminOperations.filter(({ command }) => Object.hasOwn(handlers, command))
  const ownerOf = openBearerTokens(admins)
  const answer = async (request: IncomingMessage, path: string): Promise<Answer> => {
    if (admins().length === 0) return refusal(404, 'COMMAND_UNKNOWN', 'there is no admin API here: operator.admins is empty')
    const admin = ownerOf(request)
    if (admin === undefined) return refusal(401, 'ADMIN_DENIED', 'one of operator.admins is needed as a bearer token')
    if (request.method === 'GET' && path === '/openapi.json') return { status: 200, content: adminOpenApi(operations) }
    const found = operationOf(operations, request.method ?? '', path)
    const allowed = methodsAt(operations, path)
    if (found === undefined && allowed.length > 0) return { ...refusal(405, 'COMMAND_UNKNOWN', `${prefix}${path} takes ${allowed.join(', ')}`), allow: allowed.join(', ') }
    if (found === undefined) return refusal(404, 'COMMAND_UNKNOWN', `there is no ${request.method} ${prefix}${path}: see ${prefix}/openapi.json`)
    const { operation, id } = found
    if (operation.isChange && admin.role !== 'write') return refusal(403, 'ADMIN_DENIED', `the token of ${admin.name} may read, not change`)
    const argument = operation.argument(await askedOf(request, operation, id))
    const watched = audit.watch({ [operation.command]: handlers[operation.command] as ControlHandlers[string] }, { who: admin.name, from: request.socket.remoteAddress ?? '' })
    return { status: operation.status, content: await watched[operation.command]?.(argument) ?? null }
  }
  return [{
    prefix,
    answer: async (request, response, path) => {
      const { status, content, allow } = await answer(request, path).catch((error: unknown): Answer => {
        if (!isCatalogued(error)) log.error({ error, path }, 'an admin\'s request failed')
        const { status, ...content } = problemOf(error, 'CONTROL_FAILED')
        return { status, content }
      })
      if (allow !== undefined) response.setHeader('allow', allow)
      send(request, response, status, content)
    }
  }]
}

/** `allow`: of a 405. */
interface Answer { readonly status: number, readonly content: unknown, readonly allow?: string }

function refusal (status: number, code: string, message: string): Answer { return { status, content: { code, message } } }

function patternOf (path: string): { readonly pattern: string, readonly id: string | undefined } {
  const [, id] = /^\/[a-z]+\/([^/]+)/.exec(path) ?? []
  return { pattern: id === undefined ? path : path.replace(`/${id}`, '/{id}'), id }
}

function methodsAt (operations: readonly AdminOperation[], path: string): readonly string[] {
  const { pattern } = patternOf(path)
  return path === '/openapi.json' ? ['GET'] : operations.filter((each) => each.path === pattern).map(({ method }) => method)
}

function operationOf (operations: readonly AdminOperation[], method: string, path: string): { readonly operation: AdminOperation, readonly id: number | undefined } | undefined {
  const { pattern, id } = patternOf(path)
  const operation = operations.find((each) => each.method === method && each.path === pattern)
  if (operation === undefined) return undefined
  if (id !== undefined && !/^[1-9]\d{0,15}$/.test(id)) throw new TollgateError('ARGUMENT_INVALID', `${JSON.stringify(id)} is no number of a member or key`)
  return { operation, id: id === undefined ? undefined : Number(id) }
}

async function askedOf (request: IncomingMessage, { method, fields }: AdminOperation, id: number | undefined): Promise<Asked> {
  const query = new URLSearchParams((request.url ?? '').split('?')[1] ?? '')
  const body = method === 'GET' ? {} : await readBody(request)
  const names = method === 'GET' ? [...query.keys()] : [...query.keys(), ...Object.keys(body)]
  for (const name of names) if (!fields.includes(name)) throw new TollgateError('ARGUMENT_INVALID', `${JSON.stringify(name)} is not known here${fields.length === 0 ? '' : `: there are ${fields.join(', ')}`}`)
  return { id, query, body }
}

async function readBody (request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  const given = await readJsonBody(request, bodyBytesMax)
  const value = given === undefined ? {} : given
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TollgateError('ARGUMENT_INVALID', 'the body must be an object in JSON')
  return value as Readonly<Record<string, unknown>>
}

/** What the client still sends isn't read: its connection ends. */
function send (request: IncomingMessage, response: ServerResponse, status: number, content: unknown): void {
  const body = `${JSON.stringify(content)}\n`
  const isRead = request.complete || request.method === 'GET'
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store', ...(isRead ? {} : { connection: 'close' }) })
  response.end(body)
  if (!isRead) request.resume()
}
