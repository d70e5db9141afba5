// An error as an HTTP answer: the one place that knows which status a code has. Only errors of this program's own catalogue
// show their words; everything else is an internal error, and what it was stands in the log alone.
import { billingErrors, gatewayErrors, remedyOf } from '../domain/errors.ts'
import type { ErrorCode, OperatorErrorCode } from '../domain/errors.ts'

export interface HttpProblem {
  readonly status: number
  readonly code: ErrorCode
  readonly message: string
  /** Of a configuration: each with its place. */
  readonly problems?: readonly unknown[]
}

const operatorStatus: Partial<Readonly<Record<OperatorErrorCode, number>>> = {
  ADMIN_DENIED: 403,
  CONFIG_INVALID: 422,
  ARGUMENT_INVALID: 400,
  LIMIT_EXCEEDED: 400,
  COMMAND_UNKNOWN: 404,
  MEMBER_UNKNOWN: 404,
  KEY_UNKNOWN: 404,
  MEMBER_EXISTS: 409,
  KEY_EXISTS: 409,
  KEY_REVOKED: 409,
  LEDGER_BEHIND: 503,
  STATE_UNWRITABLE: 503,
  BACKUP_RUNNING: 409,
  REDIS_UNREACHABLE: 503
}

export function httpStatusOf (code: string): number {
  if (code in gatewayErrors) return gatewayErrors[code as keyof typeof gatewayErrors].status
  if (code in billingErrors) return billingErrors[code as keyof typeof billingErrors].status
  return operatorStatus[code as OperatorErrorCode] ?? 500
}

/** True for an error whose words were written to be read: one with a code of the catalogue, also when it came from another thread. */
export function isCatalogued (error: unknown): error is Error & { readonly code: ErrorCode } {
  const code = error instanceof Error ? (error as { readonly code?: unknown }).code : undefined
  return typeof code === 'string' && (code in gatewayErrors || code in billingErrors || remedyOf(code) !== undefined)
}

/** @param fallback what an error is called that isn't in the catalogue */
export function problemOf (error: unknown, fallback: ErrorCode): HttpProblem {
  if (isCatalogued(error)) {
    const { problems } = error as { readonly problems?: unknown }
    return { status: httpStatusOf(error.code), code: error.code, message: error.message, ...(Array.isArray(problems) ? { problems } : {}) }
  }
  return { status: httpStatusOf(fallback), code: fallback, message: fallback in billingErrors ? billingErrors[fallback as keyof typeof billingErrors].message : 'internal error' }
}
