// Path patterns against a model that tries every pattern, one regular expression each; and what makes a path plain.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compilePattern, compileRewrite, createPathIndex, isPathPlain, rewritePath } from '../../src/domain/route-pattern.ts'
import type { PathPattern } from '../../src/domain/route-pattern.ts'
import { assertHoldsAndKills } from '../helpers/mutants.ts'

/** Few letters, so that patterns and paths meet often. */
const literal = fc.constantFrom('a', 'b', 'é')
const patternText = fc.tuple(fc.array(fc.oneof({ weight: 2, arbitrary: literal }, { weight: 1, arbitrary: fc.constant('{}') }), { maxLength: 3 }), fc.boolean())
  .map(([segments, isPrefix]) => '/' + [...segments.map((segment, at) => segment === '{}' ? `{v${at}}` : segment), ...(isPrefix ? ['**'] : [])].join('/'))
const patternTexts = fc.uniqueArray(patternText, { maxLength: 12 })
const pathText = fc.array(fc.oneof({ weight: 4, arbitrary: fc.constantFrom('a', 'b', '%C3%A9') }, { weight: 1, arbitrary: fc.constantFrom('%61', 'a;x=1', '', ';x', 'a%2Fb', 'd') }), { maxLength: 4 }).map((segments) => `/${segments.join('/')}`)

function patternOf (text: string): PathPattern {
  const compiled = compilePattern(text)
  assert.ok('pattern' in compiled, text)
  return compiled.pattern
}

/** The same rules, told without a trie. */
function model (texts: readonly string[], path: string): string | undefined {
  const plain = path.slice(1).split('/').map((segment) => (segment.split(';')[0] as string)).filter((segment) => segment !== '')
    .map((segment) => decodeURIComponent(segment).replaceAll('/', '\u0001'))
  const key = (text: string): readonly number[] => {
    const segments = text.slice(1).split('/').filter((segment) => segment !== '')
    const literals = segments.filter((segment) => !segment.startsWith('{') && segment !== '**').length
    const named = segments.filter((segment) => segment !== '**')
    const left = named.reduce((sum, segment, at) => sum + (segment.startsWith('{') ? 0 : 2 ** (30 - at)), 0)
    return [-literals, text.endsWith('**') ? 1 : 0, -named.length, -left]
  }
  const matching = texts.filter((text) => {
    const expression = text === '/' ? '' : text.replace(/\/\*\*$/, '(?:/.*)?').replace(/\{v\d\}/g, '[^/]+')
    return new RegExp(`^${expression}$`).test(plain.map((segment) => `/${segment}`).join(''))
  })
  const better = (a: string, b: string): number => {
    const [left, right] = [key(a), key(b)]
    return left.map((part, at) => part - (right[at] as number)).find((difference) => difference !== 0) ?? 0
  }
  return matching.sort(better)[0]
}

type Find = (texts: readonly string[], path: string) => string | undefined
const find: Find = (texts, path) => createPathIndex(texts.map((text) => ({ pattern: patternOf(text), value: text }))).find(path, () => true)

test('the best of all matching patterns is found', () => {
  assertHoldsAndKills<Find>(
    (by) => fc.property(patternTexts, pathText, (texts, path) => { assert.equal(by(texts, path), model(texts, path)) }),
    find,
    {
      'the first one given': (texts, path) => texts.find((text) => model([text], path) !== undefined),
      'literals first, never back to a variable': (texts, path) => {
        const first = path.split('/')[1] ?? ''
        const narrowed = texts.filter((text) => text.startsWith(`/${first}`))
        return find(narrowed.length > 0 ? narrowed : texts, path)
      },
      'exact before literal': (texts, path) => find(texts.filter((text) => !text.endsWith('**')), path) ?? find(texts, path),
      'encoding not decoded': (texts, path) => find(texts, path.replace('%61', 'x')),
      'an encoded slash makes a segment': (texts, path) => find(texts, path.replaceAll('%2F', '/')),
      'empty segments count': (texts, path) => find(texts, path.replaceAll('//', '/_/')),
      'a prefix is not its own path': (texts, path) => { const found = find(texts, path); return found?.endsWith('/**') === true && model([found.replace(/\/\*\*$/, '') || '/'], path) !== undefined ? undefined : found }
    },
    1000
  )
})

test('a path is plain only when no decoding of it has a dot segment', () => {
  const piece = fc.constantFrom('.', '..', '%2e', '%2E', '/', '%2f', '%5C', '\\', ';', ';x', 'a', '%', '%2', '%00', '%20', ' ', 'é', '?', '#', '...', '%25')
  const path = fc.array(piece, { maxLength: 8 }).map((pieces) => `/${pieces.join('')}`)
  /** Every way that a server might read it. */
  const readings = (text: string): readonly string[] => {
    const decoded = text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
    const onlyDots = text.replace(/%2e/gi, '.')
    const onlySlashes = text.replace(/%2f/gi, '/').replace(/%5c/gi, '\\')
    return [text, decoded, onlyDots, onlySlashes].flatMap((reading) => [reading, reading.replaceAll('\\', '/')]).flatMap((reading) => [reading, reading.replace(/;[^/]*/g, '')])
  }
  assertHoldsAndKills<(text: string) => boolean>(
    (isPlain) => fc.property(path, (text) => {
      const isHarmless = readings(text).every((reading) => !reading.split('/').some((segment) => segment === '.' || segment === '..'))
      const isLegal = /^(?:[!"$&-[\]-~]|%(?!00)[0-9a-fA-F]{2})*$/.test(text.replace(/[?#]/g, ' '))
      // The other way round it may refuse more: `..%3b` is such a case.
      if (isPlain(text)) assert.ok(isHarmless && isLegal, text)
      else assert.ok(!isHarmless || !isLegal || /%3b/i.test(text), text)
    }),
    isPathPlain,
    {
      'looks at the raw path only': (text) => !/\/\.\.?(\/|$)/.test(text) && isPathPlain(text.replace(/%2e/gi, 'x')),
      'slashes not decoded': (text) => isPathPlain(text.replace(/%2f/gi, 'x')),
      'backslash forgotten': (text) => isPathPlain(text.replaceAll('\\', 'x').replace(/%5c/gi, 'x')),
      'parameters forgotten': (text) => isPathPlain(text.replaceAll(';', 'x')),
      'refuses everything encoded': (text) => !text.includes('%') && isPathPlain(text)
    },
    1000
  )
})

test('a rewrite with the route\'s own pattern changes nothing that is compared, and stays plain', () => {
  fc.assert(fc.property(patternText, pathText, (text, path) => {
    if (find([text], path) === undefined) return
    const compiled = compileRewrite(text, patternOf(text))
    assert.ok('rewrite' in compiled)
    const rewritten = rewritePath(compiled.rewrite, path)
    assert.equal(find([text], rewritten), text)
    assert.ok(!isPathPlain(path) || isPathPlain(rewritten))
  }), { numRuns: 300 })
})
