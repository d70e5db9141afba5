// What the admin API can do: each operation is a command of the program, under a method and a path.
import { listCountDefault } from '../cli/handlers/registry.ts'
import { TollgateError } from '../domain/errors.ts'

export interface Asked { readonly id: number | undefined, readonly query: URLSearchParams, readonly body: Readonly<Record<string, unknown>> }

export interface AdminOperation {
  readonly method: 'GET' | 'POST'
  /** Below /admin/v1; `{id}` is a number. */
  readonly path: string
  readonly command: string
  readonly isChange: boolean
  /** 201 where something new was made. */
  readonly status: 200 | 201
  /** Names that its query, or its body, may have. */
  readonly fields: readonly string[]
  readonly argument: (asked: Asked) => object
}

/** A hundred years. */
export const validSMax = 100 * 366 * 86_400
export const validSDefault = 30 * 86_400
export const overlapMsDefault = 86_400_000
const pageFields = ['after', 'limit'] as const
const pageOf = ({ query }: Asked): object => ({ ...integerOf(query, 'after', 'afterId'), ...integerOf(query, 'limit', 'countMax', listCountDefault) })

export const adminOperations: readonly AdminOperation[] = [
  { method: 'GET', path: '/members', command: 'member.list', isChange: false, status: 200, fields: pageFields, argument: pageOf },
  { method: 'POST', path: '/members', command: 'member.create', isChange: true, status: 201, fields: ['name', 'memberId'], argument: ({ body }) => body },
  { method: 'POST', path: '/members/{id}/token', command: 'member.token', isChange: true, status: 201, fields: ['validS'], argument: ({ id, body }) => withValidity(body, id) },
  { method: 'GET', path: '/keys', command: 'key.list', isChange: false, status: 200, fields: [...pageFields, 'member'], argument: (asked) => ({ ...pageOf(asked), ...integerOf(asked.query, 'member', 'memberId') }) },
  { method: 'POST', path: '/keys', command: 'key.create', isChange: true, status: 201, fields: ['memberId', 'grade', 'type', 'label', 'expiresAt', 'apiKeyId'], argument: ({ body }) => withExpiry(body) },
  { method: 'GET', path: '/keys/{id}', command: 'key.show', isChange: false, status: 200, fields: [], argument: ({ id }) => ({ apiKeyId: id }) },
  { method: 'POST', path: '/keys/{id}/revoke', command: 'key.revoke', isChange: true, status: 200, fields: [], argument: ({ id }) => ({ apiKeyId: id }) },
  { method: 'POST', path: '/keys/{id}/rotate', command: 'key.rotate', isChange: true, status: 200, fields: ['overlapMs'], argument: ({ id, body }) => ({ overlapMs: overlapMsDefault, ...body, apiKeyId: id }) },
  { method: 'POST', path: '/reload', command: 'reload', isChange: true, status: 200, fields: [], argument: () => ({}) },
  { method: 'GET', path: '/gateways', command: 'gateway.list', isChange: false, status: 200, fields: [], argument: () => ({}) }
]

function integerOf (query: URLSearchParams, name: string, field: string, max = Number.MAX_SAFE_INTEGER): object {
  const text = query.get(name)
  if (text === null) return {}
  if (!/^\d{1,16}$/.test(text) || Number(text) > max) throw new TollgateError('ARGUMENT_INVALID', `${name} must be a whole number${max === Number.MAX_SAFE_INTEGER ? '' : ` up to ${max}`}`)
  return { [field]: Number(text) }
}

/** RFC 3339. */
const dateTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/i

function withValidity (body: Readonly<Record<string, unknown>>, memberId: number | undefined): object {
  const { validS = validSDefault } = body
  if (typeof validS === 'number' && validS > validSMax) throw new TollgateError('ARGUMENT_INVALID', `validS is at most ${validSMax}`)
  return { ...body, validS, memberId }
}

function withExpiry ({ expiresAt, ...body }: Readonly<Record<string, unknown>>): object {
  if (expiresAt === undefined) return body
  const expiresAtMs = typeof expiresAt === 'string' && dateTime.test(expiresAt) ? Date.parse(expiresAt) : NaN
  if (!(expiresAtMs >= 0)) throw new TollgateError('ARGUMENT_INVALID', 'expiresAt is an instant such as 2027-01-31T12:00:00.000Z')
  return { ...body, expiresAtMs }
}
