// Patterns of paths, one language for the gateway's routes and the price book's endpoints:
//
//   /tracking/{id}/end     literal segments and {variables}; a variable takes exactly one segment
//   /tracking/**           the path itself and everything below it
//
// What a client may vary without changing what most upstreams serve must not change the price, so a path is matched
// with its percent-encoding decoded segment by segment (`%2F` never makes a segment), without `;parameters` of a segment, and
// without empty segments: `/a//b/` is matched like `/a/b`. Letters' case counts. The upstream gets the path as the client sent it.
// No regular expression ever runs over a whole set of patterns: the work is bounded by the path's length and the trie.

/** Longest path that is matched and the most segments of a pattern. */
export const pathBytesMax = 8192
export const patternSegmentsMax = 32
const patternCharactersMax = 1024

export interface PatternSegment {
  readonly kind: 'literal' | 'variable'
  /** A literal: the text to compare, one character a byte, percent-encoding decoded. A variable: its name. */
  readonly text: string
  /** As written in the pattern. */
  readonly raw: string
}

export interface PathPattern {
  readonly text: string
  readonly segments: readonly PatternSegment[]
  /** Ends in `/**`. */
  readonly isPrefix: boolean
  /** Equal for two patterns that match exactly the same paths. */
  readonly shape: string
}

const literalSegment = /^(?:[\w.~!$&'()+,=:@-]|%[0-9A-Fa-f]{2}|[^\0-\x7f])+$/
const variableSegment = /^\{([A-Za-z_][\w-]{0,63})\}$/

/** @returns the pattern, or one sentence about what is wrong with the text */
export function compilePattern (text: string): { readonly pattern: PathPattern } | { readonly problem: string } {
  if (!text.startsWith('/')) return { problem: 'a path starts with a slash' }
  if (text.length > patternCharactersMax) return { problem: `a path pattern has at most ${patternCharactersMax} characters` }
  const isPrefix = text.endsWith('/**')
  const body = isPrefix ? text.slice(0, -'/**'.length) : text
  const raws = body === '' || text === '/' ? [] : body.slice(1).split('/')
  if (raws.length > patternSegmentsMax) return { problem: `a path pattern has at most ${patternSegmentsMax} segments` }
  const segments: PatternSegment[] = []
  for (const raw of raws) {
    const segment = compileSegment(raw)
    if (typeof segment === 'string') return { problem: segment }
    if (segment.kind === 'variable' && segments.some((other) => other.raw === raw)) return { problem: `the variable ${raw} stands there twice` }
    segments.push(segment)
  }
  const shape = '/' + segments.map((segment) => segment.kind === 'variable' ? '{}' : encodeURIComponent(segment.text)).join('/') + (isPrefix ? '/**' : '')
  return { pattern: { text, segments, isPrefix, shape } }
}

function compileSegment (raw: string): PatternSegment | string {
  const variable = variableSegment.exec(raw)
  if (variable !== null) return { kind: 'variable', text: variable[1] as string, raw }
  if (raw === '') return 'empty segments make no difference: leave the second slash, or the one at the end, out'
  if (raw.includes('*')) return '`**` may only be the whole last segment'
  if (/[{}]/.test(raw)) return 'a {variable} is a whole segment: a letter, then letters, digits, - and _'
  if (!literalSegment.test(raw) || !raw.isWellFormed()) return `the segment "${raw}" has a character that a path can't have: no query, fragment, parameter, space or broken percent-encoding`
  const text = percentDecode(Buffer.from(raw, 'utf8').toString('latin1')) as string
  if (text === '.' || text === '..' || /[/\\\0]/.test(text)) return `the segment "${raw}" can't be matched: such paths are refused`
  return { kind: 'literal', text, raw }
}

/**
 * True when no upstream can read the path as another one than the gateway matched: visible ASCII without backslash, whole
 * percent-encoding, no NUL, and no `.` or `..` segment, not even one that appears when `%2E`, `%2F` or `%5C` are decoded or
 * `;parameters` are dropped. A gateway refuses every other path.
 * @param path as received, without query
 */
export function isPathPlain (path: string): boolean {
  if (path.length > pathBytesMax || !plainPath.test(path)) return false
  const decoded = percentDecode(path)
  return decoded !== undefined && !decoded.includes('\0') && !dotSegment.test(decoded)
}
const plainPath = /^\/[!"$->@-[\]-~]*$/
const dotSegment = /[/\\]\.\.?(?:;[^/\\]*)?(?:[/\\]|$)/

/** One character a byte; undefined where a percent sign isn't followed by two hexadecimal digits. */
function percentDecode (text: string): string | undefined {
  let at = text.indexOf('%')
  if (at === -1) return text
  let decoded = ''
  let from = 0
  for (; at !== -1; at = text.indexOf('%', from)) {
    const hex = text.slice(at + 1, at + 3)
    if (!/^[0-9A-Fa-f]{2}$/.test(hex)) return undefined
    decoded += text.slice(from, at) + String.fromCharCode(parseInt(hex, 16))
    from = at + 3
  }
  return decoded + text.slice(from)
}

/** What a segment is compared by; '' for one that is passed over. */
function comparedText (path: string, start: number, end: number): string {
  let segment = path.slice(start, end)
  const parameters = segment.indexOf(';')
  if (parameters !== -1) segment = segment.slice(0, parameters)
  return percentDecode(segment) ?? segment
}

/** The first `countMax` segments of a path, as they are compared. */
function comparedSegments (path: string, countMax: number): string[] {
  const segments: string[] = []
  for (let start = 1; start < path.length && segments.length < countMax;) {
    const slash = path.indexOf('/', start)
    const end = slash === -1 ? path.length : slash
    const text = comparedText(path, start, end)
    if (text !== '') segments.push(text)
    start = end + 1
  }
  return segments
}

interface TrieEntry<Value> { readonly rank: number, readonly value: Value }
interface TrieNode<Value> {
  readonly literals: Map<string, TrieNode<Value>>
  variable: TrieNode<Value> | undefined
  /** By rank, the best first. */
  readonly exact: TrieEntry<Value>[]
  readonly prefix: TrieEntry<Value>[]
}

export interface PathIndex<Value> {
  /**
   * The value of the best pattern that matches `path` and whose value is accepted; undefined without any. The best has the
   * most literal segments; among equals, one without `**` comes first, then the one with more segments, then the
   * one whose literals stand further left, then the one given first.
   */
  readonly find: (path: string, accepts: (value: Value) => boolean) => Value | undefined
}

export function createPathIndex<Value> (entries: readonly { readonly pattern: PathPattern, readonly value: Value }[]): PathIndex<Value> {
  const root = trieNode<Value>()
  let segmentsMax = 0
  const ranked = [...entries].sort((a, b) => comparePatterns(a.pattern, b.pattern))
  for (const [rank, { pattern, value }] of ranked.entries()) {
    const node = nodeFor(root, pattern)
    ;(pattern.isPrefix ? node.prefix : node.exact).push({ rank, value })
    segmentsMax = Math.max(segmentsMax, pattern.segments.length)
  }
  return {
    find: (path, accepts) => {
      // One segment more than any pattern has: enough to tell an exact match from a longer path.
      const segments = comparedSegments(path, segmentsMax + 1)
      return bestOf(root, segments, 0, accepts, undefined)?.value
    }
  }
}

/** Below zero when `a` is to be preferred. */
function comparePatterns (a: PathPattern, b: PathPattern): number {
  return literalsOf(b) - literalsOf(a) ||
    Number(a.isPrefix) - Number(b.isPrefix) ||
    b.segments.length - a.segments.length ||
    compareTexts(kindsOf(a), kindsOf(b))
}
function literalsOf (pattern: PathPattern): number { return pattern.segments.filter((segment) => segment.kind === 'literal').length }
function kindsOf (pattern: PathPattern): string { return pattern.segments.map((segment) => segment.kind).join() }
function compareTexts (a: string, b: string): number { return a < b ? -1 : a > b ? 1 : 0 }

function trieNode<Value> (): TrieNode<Value> { return { literals: new Map(), variable: undefined, exact: [], prefix: [] } }

function nodeFor<Value> (root: TrieNode<Value>, pattern: PathPattern): TrieNode<Value> {
  let node = root
  for (const segment of pattern.segments) {
    let next = segment.kind === 'variable' ? node.variable : node.literals.get(segment.text)
    if (next === undefined) {
      next = trieNode<Value>()
      if (segment.kind === 'variable') node.variable = next
      else node.literals.set(segment.text, next)
    }
    node = next
  }
  return node
}

/** Each node of the trie is visited once at most, since one way leads to it. */
function bestOf<Value> (node: TrieNode<Value>, segments: readonly string[], depth: number, accepts: (value: Value) => boolean, best: TrieEntry<Value> | undefined): TrieEntry<Value> | undefined {
  best = firstBetter(node.prefix, accepts, best)
  const segment = segments[depth]
  if (segment === undefined) return firstBetter(node.exact, accepts, best)
  const literal = node.literals.get(segment)
  if (literal !== undefined) best = bestOf(literal, segments, depth + 1, accepts, best)
  if (node.variable !== undefined) best = bestOf(node.variable, segments, depth + 1, accepts, best)
  return best
}

function firstBetter<Value> (entries: readonly TrieEntry<Value>[], accepts: (value: Value) => boolean, best: TrieEntry<Value> | undefined): TrieEntry<Value> | undefined {
  for (const entry of entries) {
    if (best !== undefined && entry.rank > best.rank) return best
    if (accepts(entry.value)) return entry
  }
  return best
}

/** How the path for the upstream is made from the client's. */
export interface Rewrite {
  /** A text, or the index of the client's segment to copy as it was sent. */
  readonly parts: readonly (string | number)[]
  /** Segments that the route's pattern takes; what follows them is copied when the template ends in `/**`. */
  readonly segmentCount: number
  readonly hasRest: boolean
}

/** @param template a pattern whose variables, and `**`, all stand in the route's own pattern */
export function compileRewrite (template: string, route: PathPattern): { readonly rewrite: Rewrite } | { readonly problem: string } {
  const compiled = compilePattern(template)
  if ('problem' in compiled) return compiled
  const { segments, isPrefix } = compiled.pattern
  if (isPrefix && !route.isPrefix) return { problem: `ends in /** but the route's path ${route.text} doesn't` }
  const parts: (string | number)[] = []
  for (const segment of segments) {
    const at = route.segments.findIndex((other) => other.kind === 'variable' && other.text === segment.text)
    if (segment.kind === 'variable' && at === -1) return { problem: `{${segment.text}} is no variable of the route's path ${route.text}` }
    parts.push(segment.kind === 'variable' ? at : segment.raw.replace(/[^\0-\x7f]+/g, encodeURIComponent))
  }
  return { rewrite: { parts, segmentCount: route.segments.length, hasRest: isPrefix } }
}

/** @param path as received, without query; it matched the route's pattern */
export function rewritePath (rewrite: Rewrite, path: string): string {
  const segments: string[] = []
  let end = 0
  while (segments.length < rewrite.segmentCount && end < path.length) {
    const start = end + 1
    const slash = path.indexOf('/', start)
    end = slash === -1 ? path.length : slash
    if (comparedText(path, start, end) !== '') segments.push(path.slice(start, end))
  }
  const rewritten = rewrite.parts.map((part) => '/' + (typeof part === 'string' ? part : segments[part] ?? '')).join('')
  const whole = rewrite.hasRest ? rewritten + path.slice(end) : rewritten
  return whole === '' ? '/' : whole
}
