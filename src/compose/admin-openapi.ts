// The admin API as an OpenAPI document, made from the operations that answer it.
import { keyTypeDefault } from '../cli/handlers/registry.ts'
import { gradeTypes } from '../domain/usage-event.ts'
import { keyTypes, overlapMsMax } from '../registry/port.ts'
import { overlapMsDefault, validSDefault, validSMax } from './admin-operations.ts'
import type { AdminOperation } from './admin-operations.ts'

type Schema = Readonly<Record<string, unknown>>

const id = { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER } as const
const texts = { type: 'array', items: { type: 'string' } } as const
const instant = { type: 'string', format: 'date-time' } as const
const object = (properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema => ({ type: 'object', properties, required: Object.keys(properties).filter((name) => !optional.includes(name)), additionalProperties: false })

const member = object({ memberId: id, name: { type: 'string' }, createdAt: instant })
const keyProperties = {
  apiKeyId: id, memberId: id, grade: { type: 'string', enum: gradeTypes }, type: { type: 'string', enum: keyTypes }, label: { type: 'string' }, state: { type: 'string', enum: ['active', 'expired', 'revoked'] },
  createdAt: instant, expiresAt: instant, revokedAt: instant, rotatedAt: instant, overlapUntil: instant
}
const keyOptional = ['expiresAt', 'revokedAt', 'rotatedAt', 'overlapUntil']
const key = object(keyProperties, keyOptional)
const issuedKey = object({ ...keyProperties, token: { type: 'string', description: 'Shown this once, and kept nowhere.' } }, keyOptional)
const page = (name: string, items: Schema): Schema => object({ [name]: { type: 'array', items }, nextAfter: id }, ['nextAfter'])

/** By command: what it does, its fields, its result. */
const described: Readonly<Record<string, { readonly summary: string, readonly fields: Readonly<Record<string, Schema>>, readonly required?: readonly string[], readonly result: Schema }>> = {
  'member.list': { summary: 'Members by number.', fields: { after: { ...id, minimum: 0 }, limit: { ...id, maximum: 1_000 } }, result: page('members', member) },
  'member.create': { summary: 'Creates a member.', fields: { name: { type: 'string', minLength: 1, maxLength: 200 }, memberId: id }, required: ['name'], result: member },
  'member.token': {
    summary: 'A token with which a member reads their own charges.', fields: { validS: { ...id, maximum: validSMax, default: validSDefault } },
    result: object({ memberId: id, expiresAt: instant, isKnown: { type: 'boolean' }, token: { type: 'string' } })
  },
  'key.list': { summary: 'Keys by number, never their tokens.', fields: { after: { ...id, minimum: 0 }, limit: { ...id, maximum: 1_000 }, member: id }, result: page('keys', key) },
  'key.create': {
    summary: 'Creates a key. Its token is in this answer and can\'t be had again.',
    fields: { memberId: id, grade: { type: 'string', enum: gradeTypes }, type: { type: 'string', enum: keyTypes, default: keyTypeDefault }, label: { type: 'string', maxLength: 200 }, expiresAt: instant, apiKeyId: id }, required: ['memberId', 'grade'], result: issuedKey
  },
  'key.show': { summary: 'One key, never its token.', fields: {}, result: key },
  'key.revoke': { summary: 'Revokes a key for ever: every gateway refuses it within a second.', fields: {}, result: object({ apiKeyId: id, isKnown: { type: 'boolean' } }) },
  'key.rotate': { summary: 'A new token of the same type for a key; the old ones end after an overlap.', fields: { overlapMs: { ...id, minimum: 0, maximum: overlapMsMax, default: overlapMsDefault } }, result: issuedKey },
  reload: {
    summary: 'Reads the configuration anew. What can\'t be used is refused as a whole, and nothing changes.', fields: {},
    result: object({ changed: texts, needsRestart: { ...texts, description: 'Keys that differ and stay as they were until the program is started again.' }, warnings: texts })
  },
  'gateway.list': { summary: 'The gateways of a cluster, as billing knows them.', fields: {}, result: { type: 'object' } }
}

const text = { type: 'string' } as const
/** Of a configuration. */
const configProblem = object({ path: text, file: text, line: { type: 'integer' }, message: text, remedy: text }, ['file', 'line'])
const problem = object({ code: text, message: text, problems: { type: 'array', items: configProblem, description: 'What is wrong with the configuration.' } }, ['problems'])
const content = (schema: Schema): Schema => ({ 'application/json': { schema } })

/** @throws Error for a command that isn't described */
export function adminOpenApi (operations: readonly AdminOperation[]): Schema {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const { method, path, command, status } of operations) {
    const about = described[command]
    if (about === undefined) throw new Error(`${command} is not described`)
    const parameters = [
      ...(path.includes('{id}') ? [{ name: 'id', in: 'path', required: true, schema: id }] : []),
      ...(method === 'GET' ? Object.entries(about.fields).map(([name, schema]) => ({ name, in: 'query', schema })) : [])
    ]
    const body = method === 'POST' ? { requestBody: { required: about.required !== undefined, content: content({ type: 'object', properties: about.fields, required: about.required ?? [], additionalProperties: false }) } } : {}
    ;(paths[`/admin/v1${path}`] ??= {})[method.toLowerCase()] = {
      operationId: command, summary: about.summary, parameters, ...body,
      responses: { [status]: { description: about.summary, content: content(about.result) }, default: { description: 'A refusal: 400, 401, 403, 404, 409, 422, 503.', content: content(problem) } }
    }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Tollgate: members, keys, reload', version: '1' },
    components: { securitySchemes: { admin: { type: 'http', scheme: 'bearer' } } },
    security: [{ admin: [] }],
    paths
  }
}
