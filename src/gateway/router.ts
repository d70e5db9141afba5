// Which route a request takes. The best host counts first (the exact name, then the longest `*.` name, then routes for
// every host), then the best path pattern (domain/route-pattern.ts), among routes that take the method. No regular
// expression: the work is bounded by the path's length, whatever is configured.
import { compilePattern, compileRewrite, createPathIndex, rewritePath } from '../domain/route-pattern.ts'
import type { PathIndex, PathPattern, Rewrite } from '../domain/route-pattern.ts'
import type { RouteConfig } from '../config/schema.ts'
import { createCors } from './cors.ts'
import type { Cors } from './cors.ts'

export interface Route {
  readonly config: RouteConfig
  /** Place in the configuration. */
  readonly index: number
  readonly rewrite: Rewrite | undefined
  readonly methods: ReadonlySet<string> | undefined
  readonly cors: Cors | undefined
}

export interface Router {
  readonly routes: readonly Route[]
  /** @param host the Host header as sent; @param path without query, plain in the sense of isPathPlain */
  readonly find: (host: string, method: string, path: string) => Route | undefined
}

/** @throws Error for a pattern that the configuration should have refused */
export function createRouter (configs: readonly RouteConfig[]): Router {
  const routes = configs.map(compileRoute)
  const exact = new Map<string, PathIndex<Route>>()
  const below: { readonly suffix: string, readonly index: PathIndex<Route> }[] = []
  const names = new Set(routes.flatMap((route) => route.config.hosts))
  for (const name of names) {
    const index = indexOf(routes.filter((route) => route.config.hosts.includes(name)))
    if (name.startsWith('*.')) below.push({ suffix: name.slice(1), index })
    else exact.set(name, index)
  }
  below.sort((a, b) => b.suffix.length - a.suffix.length)
  const everyHost = indexOf(routes.filter((route) => route.config.hosts.length === 0))
  const accepts = acceptance()
  return {
    routes,
    find: (host, method, path) => {
      const accept = accepts(method)
      if (names.size === 0) return everyHost.find(path, accept)
      const name = hostName(host)
      const found = exact.get(name)?.find(path, accept)
      if (found !== undefined) return found
      for (const { suffix, index } of below) {
        if (!name.endsWith(suffix) || name.length === suffix.length) continue
        const route = index.find(path, accept)
        if (route !== undefined) return route
      }
      return everyHost.find(path, accept)
    }
  }
}

/** The path and query for the upstream. */
export function upstreamPath (route: Route, path: string, query: string): string {
  return (route.rewrite === undefined ? path : rewritePath(route.rewrite, path)) + query
}

/** A Host header's name in lower case, without port and without the dot that a full name may end with. */
export function hostName (host: string): string {
  const end = host.startsWith('[') ? host.indexOf(']') + 1 : host.indexOf(':')
  const name = (end > 0 ? host.slice(0, end) : host).toLowerCase()
  return name.endsWith('.') ? name.slice(0, -1) : name
}

function compileRoute (config: RouteConfig, index: number): Route {
  const methods = config.methods.length === 0 ? undefined : new Set(config.methods)
  if (methods?.has('GET') === true) methods.add('HEAD')
  return { config, index, methods, rewrite: rewriteOf(config), cors: config.cors === undefined ? undefined : createCors(config.cors, config.methods) }
}

function patternOf (config: RouteConfig): PathPattern {
  const result = compilePattern(config.path)
  if ('problem' in result) throw new Error(`route ${config.id}: ${result.problem}`)
  return result.pattern
}

function rewriteOf (config: RouteConfig): Rewrite | undefined {
  if (config.rewrite === undefined) return undefined
  const result = compileRewrite(config.rewrite, patternOf(config))
  if ('problem' in result) throw new Error(`route ${config.id}: ${result.problem}`)
  return result.rewrite
}

function indexOf (routes: readonly Route[]): PathIndex<Route> {
  // Of routes for the same paths the one that names its methods comes first; else the order of the configuration holds.
  const inOrder = [...routes].sort((a, b) => Number(a.methods === undefined) - Number(b.methods === undefined))
  return createPathIndex(inOrder.map((route) => ({ pattern: patternOf(route.config), value: route })))
}

const knownMethodsMax = 64

/** One question a method, made once: the path index asks it for each candidate. */
function acceptance (): (method: string) => (route: Route) => boolean {
  const known = new Map<string, (route: Route) => boolean>()
  return (method) => {
    let accept = known.get(method)
    if (accept === undefined) {
      accept = (route) => route.methods === undefined || route.methods.has(method)
      if (known.size < knownMethodsMax) known.set(method, accept)
    }
    return accept
  }
}
