// The headers that the upstream gets: the client's end-to-end headers, and what only the gateway may say.
import type { UpstreamConfig } from '../config/schema.ts'
import type { Caller } from './authentication.ts'
import type { RequestFacts } from './facts.ts'
import type { RequestHead } from './request-head.ts'
import type { Route } from './router.ts'

export interface RequestOrigin {
  /** The address that connected. */
  readonly peer: string
  /** It is a trusted proxy: what it says of the client goes on. */
  readonly isProxyTrusted: boolean
  readonly isTls: boolean
}

/**
 * Name, value, name, value …; a new array. Bodies of unknown length go chunked, and the length of a collected one is
 * the HTTP client's to say.
 */
export function upstreamHeaders (head: RequestHead, route: Route, { forwardHost, secretHeader }: Pick<UpstreamConfig, 'forwardHost' | 'secretHeader'>, origin: RequestOrigin, caller: Caller | undefined, { traceId, traceparent }: Pick<RequestFacts, 'traceId' | 'traceparent'>): string[] {
  const headers = secretHeader === undefined ? head.headers.slice() : without(head.headers, secretHeader.name.toLowerCase())
  if (secretHeader !== undefined) headers.push(secretHeader.name.toLowerCase(), secretHeader.value)
  if (forwardHost) headers.push('host', head.host)
  if (origin.isProxyTrusted) {
    headers.push(
      'x-forwarded-for', head.forwardedFor === '' ? origin.peer : head.forwardedFor + ', ' + origin.peer,
      'x-forwarded-proto', head.forwardedProto === '' ? schemeOf(origin) : head.forwardedProto,
      'x-forwarded-host', head.forwardedHost === '' ? head.host : head.forwardedHost
    )
    if (head.forwarded !== '') headers.push('forwarded', head.forwarded)
  } else {
    headers.push('x-forwarded-for', origin.peer, 'x-forwarded-proto', schemeOf(origin), 'x-forwarded-host', head.host)
  }
  headers.push('x-trace-id', traceId, 'traceparent', traceparent)
  // It belongs to a traceparent: without the client's own it says nothing.
  if (head.tracestate !== '' && traceparent === head.traceparent) headers.push('tracestate', head.tracestate)
  if (caller !== undefined) headers.push('x-member-id', caller.memberIdText, 'x-api-key-id', caller.apiKeyIdText, 'x-member-grade', caller.claims.grade)
  if (route.config.forwardApiKey && head.apiKey !== '') headers.push('x-api-key', head.apiKey)
  return headers
}

/** Also without what a server that hands headers on as variables would read as that name. */
function without (headers: readonly string[], name: string): string[] {
  const kept: string[] = []
  for (let at = 0; at < headers.length; at += 2) {
    if ((headers[at] as string).replaceAll('_', '-') !== name) kept.push(headers[at] as string, headers[at + 1] as string)
  }
  return kept
}

function schemeOf ({ isTls }: RequestOrigin): string { return isTls ? 'https' : 'http' }
