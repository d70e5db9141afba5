// Every key of the schema, each with every kind of mistake that it can have: told with the key's path, the line where the mistake
// stands, and what to do. What must fit together is in relations.test.ts and cluster.test.ts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stringify } from 'yaml'
import { ConfigError, loadConfig } from '../../../src/config/load.ts'
import { pathText } from '../../../src/config/problem.ts'
import type { ConfigProblem, Path } from '../../../src/config/problem.ts'
import { configSetting } from '../../../src/config/schema.ts'
import type { Setting } from '../../../src/config/setting.ts'
import { machine, openConfigFolder } from '../../helpers/config-folder.ts'

/** Where a wrong value goes: its line is found by it. */
const marker = 'MARKER-of-a-mistake'

type Document = Record<string, unknown>

/** A document that has each key of the schema once: one item in each list, one entry in each map. */
function sampleOf (setting: Setting): unknown {
  switch (setting.kind) {
    case 'group': return Object.fromEntries(Object.entries(setting.properties).map(([key, property]) => [key, sampleOf(property)]))
    case 'list': return [sampleOf(setting.items)]
    case 'map': return { main: sampleOf(setting.values) }
    case 'either': return sampleOf(setting.group)
    case 'text': return setting.default ?? 'a-text-of-more-than-thirty-two-characters'
    case 'integer': return setting.minimum
    case 'size': return setting.minimum
    case 'choice': return setting.choices[0]
    case 'flag': return true
  }
}

interface Mistake { readonly what: string, readonly path: Path, readonly value: unknown, /** Where it is told; the path itself unless said. */ readonly at?: Path, readonly message?: RegExp }

function mistakesOf (setting: Setting, path: Path): Mistake[] {
  const wrong = (what: string, value: unknown, more: Partial<Mistake> = {}): Mistake => ({ what, path, value, ...more })
  switch (setting.kind) {
    case 'group': return [
      ...(path.length === 0 ? [] : [wrong('no group', 'a text')]),
      wrong('unknown key', { [marker]: 1 }, { at: [...path, marker], message: /^unknown key$/ }),
      ...Object.entries(setting.properties).flatMap(([key, property]) => mistakesOf(property, [...path, key]))
    ]
    case 'list': return [wrong('no list', 'a text'), wrong('too many', Array.from({ length: setting.itemsMax + 1 }, () => null), { message: /entries$/ }), ...mistakesOf(setting.items, [...path, 0])]
    case 'map': return [wrong('no map', 'a text'), wrong('a name that is none', { '-': null }, { at: [...path, '-'], message: /^not a name$/ }), ...mistakesOf(setting.values, [...path, 'main'])]
    case 'either': return [...mistakesOf(setting.scalar, path), ...mistakesOf(setting.group, path).filter(({ what, path: at }) => what !== 'no group' || at.length > path.length)]
    case 'text': return [
      wrong('a number', 712345, { message: /712345|not allowed/ }), wrong('a list', ['x']), wrong('empty', ''), wrong('too long', 'x'.repeat(setting.lengthMax + 1), { message: /too many/ }),
      ...(setting.pattern === undefined ? [] : [wrong('not of its pattern', '\u0001 \u0001'.repeat(12))])
    ]
    case 'integer': return [wrong('a text', 'many'), wrong('a fraction', setting.minimum + 0.5), wrong('too small', setting.minimum - 1), wrong('too large', setting.maximum + 1)]
    case 'size': return [wrong('a text', 'much'), wrong('a unit that is none', '5XB'), wrong('too small', setting.minimum - 1), wrong('too large', setting.maximum + 1)]
    case 'choice': return [wrong('no choice', 'sideways'), wrong('a number', 5)]
    case 'flag': return [wrong('a text', 'yes'), wrong('a number', 1)]
  }
}

/** The document with `value` at `path`. */
function withValue (document: unknown, path: Path, value: unknown): unknown {
  const [step, ...rest] = path
  if (step === undefined) return typeof value === 'object' && value !== null && !Array.isArray(value) && typeof document === 'object' ? { ...document, ...value } : value
  if (Array.isArray(document)) return document.map((item: unknown, at) => at === step ? withValue(item, rest, value) : item)
  return Object.fromEntries(Object.entries(document as Document).map(([key, held]) => [key, key === step ? withValue(held, rest, value) : held]))
}

const sample = sampleOf(configSetting) as Document

/** From 1: where `path` stands. */
function lineOf (path: Path): number {
  const at = path.at(-1)
  const marked = typeof at === 'number' ? withValue(sample, path, marker) : renamed(sample, path)
  return stringify(marked, { lineWidth: 0 }).split('\n').findIndex((line) => line.includes(marker)) + 1
}

function renamed (document: unknown, path: Path): unknown {
  const [step, ...rest] = path
  if (Array.isArray(document)) return document.map((item: unknown, at) => at === step ? renamed(item, rest) : item)
  return Object.fromEntries(Object.entries(document as Document).map(([key, held]) => key === step ? rest.length === 0 ? [marker, held] : [key, renamed(held, rest)] : [key, held]))
}

test('each key says what is wrong with it, in which line, and what to do', (t) => {
  const { file, write } = openConfigFolder(t)
  const problemsOf = (document: unknown): readonly ConfigProblem[] => {
    write('tollgate.yaml', stringify(document, { lineWidth: 0 }))
    try { loadConfig({ file, env: {}, machine }) } catch (error) {
      if (error instanceof ConfigError) return error.problems
      throw error
    }
    return []
  }
  const mistakes = mistakesOf(configSetting, [])
  assert.ok(mistakes.length > 500, `${mistakes.length} mistakes`)
  const wrong: string[] = []
  for (const { what, path, value, at = path, message = /./ } of mistakes) {
    const where = pathText(at)
    const problem = problemsOf(withValue(sample, path, value)).find((each) => each.path === where)
    const name = `${where}: ${what}`
    if (problem === undefined) { wrong.push(`${name}: not told`); continue }
    const text = stringify(withValue(sample, path, value), { lineWidth: 0 })
    const line = at === path ? lineOf(path) : text.split('\n').findIndex((each) => each.includes(String(at.at(-1)) === marker ? marker : '"-":') || each.trim() === '-: null') + 1
    if (problem.line !== line) wrong.push(`${name}: line ${problem.line}, not ${line}`)
    if (!problem.file?.endsWith('tollgate.yaml')) wrong.push(`${name}: in ${problem.file}`)
    if (!message.test(problem.message)) wrong.push(`${name}: ${problem.message}`)
    if (problem.remedy.length < 8) wrong.push(`${name}: no remedy: ${problem.remedy}`)
  }
  assert.deepEqual(wrong, [])
})

test('each key that must be there says so, with the line of what lacks it', (t) => {
  const { file, write } = openConfigFolder(t)
  const missing = (setting: Setting, path: Path): Path[] => {
    switch (setting.kind) {
      case 'group': return Object.entries(setting.properties).flatMap(([key, property]) => {
        const isNeeded = property.default === undefined && property['~optional'] !== true && property.kind !== 'group'
        return [...(isNeeded ? [[...path, key]] : []), ...missing(property, [...path, key])]
      })
      case 'list': return missing(setting.items, [...path, 0])
      case 'map': return missing(setting.values, [...path, 'main'])
      case 'either': return missing(setting.group, path)
      default: return []
    }
  }
  const without = (document: unknown, path: Path): unknown => {
    const [step, ...rest] = path
    if (Array.isArray(document)) return document.map((item: unknown, at) => at === step ? without(item, rest) : item)
    return Object.fromEntries(Object.entries(document as Document).filter(([key]) => key !== step || rest.length > 0).map(([key, held]) => key === step ? [key, without(held, rest)] : [key, held]))
  }
  const paths = missing(configSetting, [])
  assert.ok(paths.length > 10, String(paths.length))
  const wrong: string[] = []
  for (const path of paths) {
    write('tollgate.yaml', stringify(without(sample, path), { lineWidth: 0 }))
    const where = pathText(path)
    let problem: ConfigProblem | undefined
    try { loadConfig({ file, env: {}, machine }) } catch (error) { problem = (error as ConfigError).problems.find((each) => each.path === where) }
    if (problem?.message !== 'missing' || problem.remedy.length < 8 || problem.line === undefined) wrong.push(`${where}: ${JSON.stringify(problem)}`)
  }
  assert.deepEqual(wrong, [])
})
