import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RouteConfig } from '../../../src/config/schema.ts'
import { createRouter, hostName, upstreamPath } from '../../../src/gateway/router.ts'

function route (id: string, path: string, more: Partial<RouteConfig> = {}): RouteConfig {
  return { id, path, hosts: [], methods: [], upstream: 'main', isPublic: false, requestedTokens: 1, units: 1, forwardApiKey: false, forwardPreflights: true, trustTraceId: false, ...more }
}
const found = (routes: readonly RouteConfig[], host: string, method: string, path: string): string | undefined => createRouter(routes).find(host, method, path)?.config.id

test('the best path wins, whatever the order', () => {
  const routes = [route('all', '/**'), route('below', '/a/**'), route('variable', '/a/{x}'), route('exact', '/a/b')]
  for (const order of [routes, [...routes].reverse()]) {
    assert.deepEqual(['/a/b', '/a/c', '/a/b/c', '/a', '/x'].map((path) => found(order, 'h', 'GET', path)), ['exact', 'variable', 'below', 'below', 'all'])
  }
})

test('methods: the route that names the method wins; GET includes HEAD; no other is taken', () => {
  const routes = [route('any', '/a'), route('post', '/a', { methods: ['POST'] }), route('get', '/b', { methods: ['GET'] })]
  assert.deepEqual([found(routes, 'h', 'POST', '/a'), found(routes, 'h', 'PUT', '/a')], ['post', 'any'])
  assert.deepEqual(['GET', 'HEAD', 'POST', 'OPTIONS'].map((method) => found(routes, 'h', method, '/b')), ['get', 'get', undefined, undefined])
})

test('a less exact path is taken where a better one has not the method', () => {
  const routes = [route('exact', '/a/b', { methods: ['GET'] }), route('all', '/a/**', { methods: ['POST'] })]
  assert.equal(found(routes, 'h', 'POST', '/a/b'), 'all')
})

test('hosts: the name, then the longest name below which it lies, then every host', () => {
  const routes = [
    route('every', '/**'), route('example', '/**', { hosts: ['*.example.com'] }), route('deep', '/**', { hosts: ['*.deep.example.com'] }),
    route('api', '/api/**', { hosts: ['api.example.com', 'other.test'] })
  ]
  const of = (host: string, path = '/api/x'): string | undefined => found(routes, host, 'GET', path)
  assert.equal(of('api.example.com'), 'api')
  assert.equal(of('API.Example.COM.:8443'), 'api')
  assert.equal(of('api.example.com', '/else'), 'example')
  assert.equal(of('www.example.com'), 'example')
  assert.equal(of('a.deep.example.com'), 'deep')
  assert.equal(of('deep.example.com'), 'example')
  assert.equal(of('example.com'), 'every')
  assert.equal(of('notexample.com'), 'every')
  assert.equal(of(''), 'every')
  assert.equal(found(routes.slice(1), 'elsewhere.test', 'GET', '/api/x'), undefined)
})

test('a host\'s name', () => {
  assert.deepEqual(['A.test', 'a.test:80', '[::1]:8080', '[::1]', 'a.test.', ''].map(hostName), ['a.test', 'a.test', '[::1]', '[::1]', 'a.test', ''])
})

test('the path for the upstream', () => {
  const { routes: [kept, moved, deep] } = createRouter([route('kept', '/a/**'), route('moved', '/old/{id}/end', { rewrite: '/new/{id}' }), route('deep', '/v1/**', { rewrite: '/internal/**' })])
  assert.equal(upstreamPath(kept ?? assert.fail(), '/a//b%20c/', '?x=1'), '/a//b%20c/?x=1')
  assert.equal(upstreamPath(moved ?? assert.fail(), '/old/7%2Fb/end', '?'), '/new/7%2Fb?')
  assert.equal(upstreamPath(deep ?? assert.fail(), '/v1/a/b', ''), '/internal/a/b')
})

test('a pattern that the configuration should have refused is an error', () => {
  assert.throws(() => createRouter([route('bad', 'no-slash')]), /route bad/)
  assert.throws(() => createRouter([route('bad', '/a', { rewrite: '/{b}' })]), /route bad/)
})
