// Routes against themselves and the upstreams.
import { isIP, isIPv6 } from 'node:net'
import { compilePattern, compileRewrite } from '../domain/route-pattern.ts'
import type { PathPattern } from '../domain/route-pattern.ts'
import { nearestName } from '../domain/suggest.ts'
import type { Path } from './problem.ts'
import type { Checked } from './problem.ts'
import type { Config, CorsConfig, RouteConfig } from './schema.ts'
import { formatSize } from './size-text.ts'

/** Each route that is sound by itself. */
export function checkRoutes ({ gateway }: Config, { report, warn, isSound }: Checked): void {
  const seenIds = new Set<string>()
  const seenRequests = new Map<string, string>()
  for (const [at, route] of gateway.routes.entries()) {
    const path: Path = ['gateway', 'routes', at]
    if (!isSound(path)) continue
    if (seenIds.has(route.id)) report([...path, 'id'], `\`${route.id}\` is there twice`, 'metrics and events tell routes apart by it: give each an id of its own')
    seenIds.add(route.id)
    if (!Object.hasOwn(gateway.upstreams, route.upstream)) {
      const names = Object.keys(gateway.upstreams)
      const nearest = nearestName(route.upstream, names)
      report([...path, 'upstream'], `there is no upstream \`${route.upstream}\``, nearest === undefined ? `name one of \`gateway.upstreams\`${names.length === 0 ? ', which is empty' : `: ${names.slice(0, 10).join(', ')}`}` : `did you mean \`${nearest}\`?`)
    }
    if (route.cors !== undefined) checkCors(route.cors, [...path, 'cors'], report)
    if (route.headerBytesMax !== undefined && isSound(['gateway', 'headerBytesMax']) && route.headerBytesMax > gateway.headerBytesMax) report([...path, 'headerBytesMax'], `${formatSize(route.headerBytesMax)} is more than \`gateway.headerBytesMax\` (${formatSize(gateway.headerBytesMax)})`, 'no longer head comes as far as a route: lower it, or raise `gateway.headerBytesMax`')
    const pattern = checkPattern(route, path, report)
    if (pattern !== undefined) checkShadowed(route, pattern, path, seenRequests, report)
    if (route.isPublic && (route.requestedTokens !== 1 || route.units !== 1)) warn(`route ${route.id} is public: nothing is limited or billed there, so requestedTokens and units do nothing`)
  }
  if (isSound(['gateway', 'routes'])) for (const name of Object.keys(gateway.upstreams)) if (!gateway.routes.some((route) => route.upstream === name)) warn(`no route uses the upstream ${name}`)
  for (const [at, block] of gateway.trustedProxies.entries()) {
    if (isSound(['gateway', 'trustedProxies', at]) && !isAddressBlock(block)) report(['gateway', 'trustedProxies', at], `"${block}" is no address`, 'write an IP address, or a block such as 10.0.0.0/8')
  }
}

function checkCors ({ origins, credentials }: CorsConfig, path: Path, report: Checked['report']): void {
  if (origins.length === 0) report([...path, 'origins'], 'no origin', 'nobody could read an answer: name one such as https://www.example.com, or leave `cors` out')
  if (origins.includes('*') && origins.length > 1) report([...path, 'origins'], '`*` stands beside other origins', '`*` is everybody: name it alone, or leave it out')
  if (origins.includes('*') && credentials) report([...path, 'credentials'], 'cookies can\'t be allowed to everybody', 'browsers refuse it: name the origins')
}

function checkPattern (route: RouteConfig, path: Path, report: Checked['report']): PathPattern | undefined {
  const compiled = compilePattern(route.path)
  if ('problem' in compiled) {
    report([...path, 'path'], compiled.problem, 'write a path such as /tracking/{id} or /tracking/**')
    return undefined
  }
  const rewrite = route.rewrite === undefined ? undefined : compileRewrite(route.rewrite, compiled.pattern)
  if (rewrite !== undefined && 'problem' in rewrite) report([...path, 'rewrite'], rewrite.problem, 'use the variables of the route\'s path')
  return compiled.pattern
}

/** Two routes for the same requests: the second would never be used, and nobody would notice. */
function checkShadowed (route: RouteConfig, pattern: PathPattern, path: Path, seen: Map<string, string>, report: Checked['report']): void {
  const anyOf = (names: readonly string[]): readonly string[] => names.length === 0 ? ['*'] : names
  const requests = anyOf(route.hosts).flatMap((host) => anyOf(route.methods).map((method) => `${method} ${host} ${pattern.shape}`))
  const earlier = requests.map((request) => seen.get(request)).find((id) => id !== undefined)
  if (earlier !== undefined) report(path, `route ${route.id} takes requests that route ${earlier} takes already`, 'a request has one route: change path, methods or hosts of one, or delete it')
  for (const request of requests) if (!seen.has(request)) seen.set(request, route.id)
}

function isAddressBlock (text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  if (isIP(address) === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (isIPv6(address) ? 128 : 32))
}
