import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compilePattern, compileRewrite, createPathIndex, isPathPlain, pathBytesMax, patternSegmentsMax, rewritePath } from '../../../src/domain/route-pattern.ts'
import type { PathPattern } from '../../../src/domain/route-pattern.ts'

function pattern (text: string): PathPattern {
  const compiled = compilePattern(text)
  assert.ok('pattern' in compiled, `${text}: ${'problem' in compiled ? compiled.problem : ''}`)
  return compiled.pattern
}
const indexOf = (...texts: readonly string[]): (path: string) => string | undefined => {
  const index = createPathIndex(texts.map((text) => ({ pattern: pattern(text), value: text })))
  return (path) => index.find(path, () => true)
}

test('literals, variables and prefixes match whole segments', () => {
  const find = indexOf('/tracking/{id}/end', '/files/**', '/')
  for (const [path, match] of [
    ['/tracking/17/end', '/tracking/{id}/end'], ['/tracking/17/ende', undefined], ['/tracking/17', undefined], ['/tracking/17/end/x', undefined], ['/Tracking/17/end', undefined],
    ['/files', '/files/**'], ['/files/', '/files/**'], ['/files/a/b/c', '/files/**'], ['/filesystem', undefined],
    ['/', '/'], ['//', '/'], ['/x', undefined]
  ] as const) assert.equal(find(path), match, path)
})

test('writing a path differently doesn\'t change what it matches', () => {
  const find = indexOf('/tracking/{id}/end', '/größe/a%20b')
  for (const path of ['/tracking/17/end/', '//tracking//17/end', '/tr%61cking/17/%65nd', '/tracking;v=1/17;x/end;', '/tracking/%2e%2E/end', '/tracking/;x/17/end', '/tracking/a%2Fb/end']) assert.equal(find(path), '/tracking/{id}/end', path)
  assert.equal(find('/gr%C3%B6%c3%9Fe/a%20b'), '/größe/a%20b')
  assert.equal(find('/tracking%2F17/end'), undefined, 'an encoded slash makes no segment')
  assert.equal(find('/tracking/17%2Fend'), undefined)
})

test('the most literal segments win, then no `**`, then more segments, then the leftmost literal', () => {
  const order = ['/a/b/c', '/a/b/{x}', '/a/{x}/c', '/{x}/b/c', '/a/b/**', '/a/{x}/{y}', '/{x}/b/{y}', '/a/{x}/**', '/a/**', '/{x}/{y}/{z}', '/{x}/**', '/**']
  for (let at = 0; at < order.length; at++) {
    const rest = order.slice(at)
    assert.equal(indexOf(...rest)('/a/b/c'), rest[0])
    assert.equal(indexOf(...rest.toReversed())('/a/b/c'), rest[0])
  }
})

test('a value that is not accepted makes room for the next best pattern, the first given one first', () => {
  const index = createPathIndex([{ pattern: pattern('/a/{x}'), value: 'first' }, { pattern: pattern('/a/{y}'), value: 'second' }, { pattern: pattern('/**'), value: 'all' }])
  assert.equal(index.find('/a/b', () => true), 'first')
  assert.equal(index.find('/a/b', (value) => value !== 'first'), 'second')
  assert.equal(index.find('/a/b', (value) => value === 'all'), 'all')
  assert.equal(index.find('/a/b', () => false), undefined)
})

test('malformed patterns are refused with a reason', () => {
  for (const [text, reason] of [
    ['', /starts with a slash/], ['a', /starts with a slash/], ['/a//b', /second slash/], ['/a/', /at the end/], ['//', /second slash/], ['//**', /second slash/], ['/a//**', /second slash/],
    ['/a/*', /whole last segment/], ['/**/a', /whole last segment/], ['/a**', /whole last segment/], ['/{a', /whole segment/], ['/{}', /whole segment/], ['/x{a}', /whole segment/], ['/{a}{b}', /whole segment/],
    ['/{1a}', /whole segment/], ['/{a}/{a}', /twice/], ['/a?b', /can't have/], ['/a#b', /can't have/], ['/a b', /can't have/], ['/a;b', /can't have/], ['/%zz', /can't have/], ['/a\nb', /can't have/], ['/\ud800', /can't have/],
    ['/a/../b', /refused/], ['/./a', /refused/], ['/%2e%2e', /refused/], ['/a%2Fb', /refused/], ['/a%00', /refused/],
    [`/${'a/'.repeat(patternSegmentsMax)}b`, /segments/], [`/${'a'.repeat(2000)}`, /characters/]
  ] as const) {
    const compiled = compilePattern(text)
    assert.ok('problem' in compiled, text)
    assert.match(compiled.problem, reason, text)
  }
})

test('shapes are equal for patterns of the same paths', () => {
  assert.equal(pattern('/a/{x}/**').shape, pattern('/%61/{y}/**').shape)
  for (const other of ['/a/{x}', '/a/x/**', '/{x}/a/**', '/a/{x}/{y}/**']) assert.notEqual(pattern('/a/{x}/**').shape, pattern(other).shape)
})

test('paths that an upstream could read differently are not plain', () => {
  for (const path of ['/', '/a/b', '/a%20b', '/a/...', '/a/.well-known/x', '/..a', '/a..', '/a;x=1', '/a//b', '/%2f', '/@:!$&\'()*+,=~|[]{}^`"<>', '/%25', '/a/%2e%2ea', `/${'a'.repeat(pathBytesMax - 1)}`]) assert.ok(isPathPlain(path), path)
  for (const path of ['', 'a', '*', '/..', '/.', '/a/..', '/a/../b', '/./a', '/a/.', '/%2e%2e', '/%2E', '/.%2e/a', '/a/..%2fb', '/a%2f..%2fb', '/a/..%5cb', '/a\\..\\b', '/a\\b', '/..;/a', '/..;x=1/a', '/a/%2e%2e;x', '/..%3bx/a', '/%', '/%2', '/%zz', '/a%00b', '/a b', '/a\u0000', '/é', '/a?b', '/a#b', '/a\n', `/${'a'.repeat(pathBytesMax)}`]) assert.ok(!isPathPlain(path), path)
})

test('no path takes long to look at', () => {
  const index = createPathIndex(Array.from({ length: 31 }, (_, at) => ({ pattern: pattern(`/${Array.from({ length: 31 }, (_, step) => step === at ? 'b' : `{v${step}}`).join('/')}`), value: at })))
  assert.equal(index.find(`/${'a/'.repeat(30)}c`, () => true), undefined)
  assert.equal(index.find('/a'.repeat(4000), () => true), undefined)
  for (const path of ['/' + '.;'.repeat(4000), '/' + '%2e;'.repeat(2000), '/' + ';/..'.repeat(2000), '/..'.repeat(2700)]) isPathPlain(path)
})

test('a rewrite copies segments as the client sent them', () => {
  const rewritten = (template: string, route: string, path: string): string => {
    const compiled = compileRewrite(template, pattern(route))
    assert.ok('rewrite' in compiled)
    return rewritePath(compiled.rewrite, path)
  }
  assert.equal(rewritten('/v2/{id}', '/tracking/{id}/end', '/tracking/a%2Fb;x=1/end'), '/v2/a%2Fb;x=1')
  assert.equal(rewritten('/{b}/{a}', '/{a}/{b}', '//1//2/'), '/2/1')
  assert.equal(rewritten('/internal/**', '/api/**', '/api/x//y/'), '/internal/x//y/')
  assert.equal(rewritten('/internal/**', '/api/**', '/api'), '/internal')
  assert.equal(rewritten('/**', '/api/**', '/api'), '/')
  assert.equal(rewritten('/**', '/api/**', '/api/'), '/')
  assert.equal(rewritten('/gr%C3%B6%C3%9Fe/größe', '/x', '/x'), '/gr%C3%B6%C3%9Fe/gr%C3%B6%C3%9Fe')
  for (const [template, route, reason] of [['/{id}', '/a/{x}', /no variable/], ['/b/**', '/a', /doesn't/], ['b', '/a', /slash/]] as const) {
    const compiled = compileRewrite(template, pattern(route))
    assert.ok('problem' in compiled)
    assert.match(compiled.problem, reason)
  }
})
