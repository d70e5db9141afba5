// Who may read a route's answers from a page of another origin (CORS, in the Fetch standard). Preflights are answered here, and each
// answer says who may read it, an error of the gateway's own too: else a page would only learn that something went wrong.
//
// A header's text is made of the configuration alone, or of an origin that matches a strict pattern: nothing that a client
// sends is written back unchecked.
import type { CorsConfig } from '../config/schema.ts'

/** Name, value, name, value …. */
export type HeaderList = readonly string[]

export interface Cors {
  /** Of every answer to a request from `origin`; '' for a request that has none. */
  readonly headersFor: (origin: string) => HeaderList
  /** Of the answer to a preflight from `origin`, beside `headersFor`. */
  readonly preflightHeadersFor: (origin: string) => HeaderList
}

export const noHeaders: HeaderList = []

/** What an upstream may not say where the gateway does. */
export const corsHeaderPrefix = 'access-control-'

/** Where the route takes every method and the policy names none. */
const everyMethod = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']

/** @param routeMethods empty for every method */
export function createCors (config: CorsConfig, routeMethods: readonly string[]): Cors {
  const { origins, methods, headers, exposedHeaders, credentials, maxAgeS } = config
  const isAllowed = originTest(origins)
  const isAnyone = origins.includes('*')
  const named = methods.length > 0 ? methods : routeMethods.length > 0 ? routeMethods : everyMethod
  const more = [
    ...(credentials ? ['Access-Control-Allow-Credentials', 'true'] : []),
    ...(exposedHeaders.length > 0 ? ['Access-Control-Expose-Headers', exposedHeaders.join(', ')] : [])
  ]
  const preflight = [
    'Access-Control-Allow-Methods', named.join(', '),
    ...(headers.length > 0 ? ['Access-Control-Allow-Headers', headers.join(', ')] : []),
    'Access-Control-Max-Age', String(maxAgeS)
  ]
  const toAnyone = ['Access-Control-Allow-Origin', '*', ...more]
  // An answer depends on the origin also where there is none, or a wrong one: a cache must not give it to somebody else.
  const toNobody = ['Vary', 'Origin']
  return {
    headersFor: (origin) => isAnyone ? toAnyone : isAllowed(origin) ? ['Vary', 'Origin', 'Access-Control-Allow-Origin', origin, ...more] : toNobody,
    preflightHeadersFor: (origin) => isAnyone || isAllowed(origin) ? preflight : noHeaders
  }
}

/** Origins are compared as browsers write them: in lower case, without a port that goes without saying. */
function originTest (origins: readonly string[]): (origin: string) => boolean {
  const exact = new Set(origins)
  const below = origins.filter((origin) => origin.includes('://*.')).map((origin) => {
    const [scheme = '', suffix = ''] = origin.split('*')
    return { scheme, suffix }
  })
  return (origin) => {
    if (origin === '') return false
    if (exact.has(origin)) return true
    return below.some(({ scheme, suffix }) => origin.startsWith(scheme) && origin.endsWith(suffix) && isHostPrefix.test(origin.slice(scheme.length, -suffix.length)))
  }
}
const isHostPrefix = /^[a-z0-9](?:[a-z0-9.-]{0,200}[a-z0-9])?$/
