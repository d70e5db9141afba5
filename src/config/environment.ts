// Overrides from the environment: TOLLGATE_GATEWAY__LISTEN__PORT=9000 stands for gateway.listen.port. Two underscores go
// down one level, one stands where the key has a capital; a list's entry is its index, an entry of a map its name.
import { parse } from 'yaml'
import { nearestName } from '../domain/suggest.ts'
import type { Path } from './problem.ts'
import { pathText } from './problem.ts'
import { keysOf } from './read.ts'
import type { Setting } from './setting.ts'

const prefix = 'TOLLGATE_'

/** Variables that are not overrides: see docs/configuration.md. */
export const reservedVariables = ['TOLLGATE_CONFIG', 'TOLLGATE_NODE', 'TOLLGATE_CRASH_POINT', 'TOLLGATE_NATIVE_FOLDER'] as const

export interface Overridden {
  /** The document with the overrides in their places. */
  readonly document: unknown
  /** Path as text -> the variable that set it. */
  readonly sources: ReadonlyMap<string, string>
  readonly problems: readonly { readonly variable: string, readonly message: string, readonly remedy: string }[]
  /** Names without `__` that are no key: perhaps meant for something else. */
  readonly unknown: readonly string[]
}

/** @param document as read from the file; it is not changed */
export function overrideFromEnvironment (setting: Setting, document: unknown, env: Readonly<Record<string, string | undefined>>): Overridden {
  const sources = new Map<string, string>()
  const problems: Overridden['problems'][number][] = []
  const unknown: string[] = []
  const root = { document: structuredClone(document ?? {}) }
  for (const variable of Object.keys(env).filter((name) => name.startsWith(prefix)).sort()) {
    const value = env[variable]
    if (value === undefined || (reservedVariables as readonly string[]).includes(variable)) continue
    const steps = variable.slice(prefix.length).split('__')
    const found = locate(setting, root.document, steps)
    if ('path' in found) {
      place(root, ['document', ...found.path], valueFor(found.setting, value), found.replaces)
      sources.set(pathText(found.path), variable)
    } else if (steps.length === 1) unknown.push(variable)
    else problems.push({ variable, message: found.message, remedy: found.remedy })
  }
  return { document: root.document, sources, problems, unknown }
}

/** `replaces`: the other way to give the same secret, which the override ends. */
type Located = { readonly path: Path, readonly setting: Setting, readonly replaces: string | undefined } | { readonly message: string, readonly remedy: string }

function locate (setting: Setting, document: unknown, steps: readonly string[]): Located {
  let at: Setting = setting
  let value = document
  let replaces: string | undefined
  const path: (string | number)[] = []
  for (const step of steps) {
    const next = stepInto(at, value, step)
    if ('message' in next) return next
    path.push(next.key)
    at = next.setting
    replaces = next.replaces
    value = (value as Record<string | number, unknown> | null | undefined)?.[next.key]
  }
  return { path, setting: at, replaces }
}

interface Step { readonly key: string | number, readonly setting: Setting, readonly replaces?: string | undefined }

function stepInto (setting: Setting, value: unknown, step: string): Step | { readonly message: string, readonly remedy: string } {
  switch (setting.kind) {
    case 'either': return stepInto(setting.group, value, step)
    case 'group': {
      const keys = keysOf(setting)
      const key = keys.find((candidate) => variableStep(candidate) === step)
      if (key !== undefined) return { key, setting: setting.properties[key] ?? fileName, replaces: otherWay(setting, key) }
      const nearest = nearestName(step, keys.map(variableStep))
      return { message: `${step} is no key`, remedy: nearest === undefined ? `known here are ${keys.map(variableStep).join(', ')}` : `did you mean ${nearest}?` }
    }
    case 'list': {
      const length = Array.isArray(value) ? value.length : 0
      if (/^\d{1,6}$/.test(step) && Number(step) <= length) return { key: Number(step), setting: setting.items }
      return { message: `${step} is no index of this list`, remedy: `use an index from 0 to ${length}, the last of which adds an entry` }
    }
    case 'map': {
      const names = typeof value === 'object' && value !== null ? Object.keys(value) : []
      return { key: names.find((name) => variableStep(name) === step) ?? step.toLowerCase(), setting: setting.values }
    }
    default: return { message: `nothing stands below ${setting.kind === 'text' ? 'a text' : 'this value'}`, remedy: `leave __${step} out` }
  }
}

/** 'secret' for 'secretFile' and the other way round. */
function otherWay (setting: Setting & { readonly kind: 'group' }, key: string): string | undefined {
  const property = setting.properties[key]
  if (property !== undefined) return property.kind === 'text' ? property.secretFile : undefined
  return Object.keys(setting.properties).find((name) => fileKey(setting, name) === key)
}
function fileKey (setting: Setting & { readonly kind: 'group' }, name: string): string {
  const property = setting.properties[name]
  return property?.kind === 'text' ? property.secretFile ?? '' : ''
}

/** What stands behind `…File`. */
const fileName: Setting = { kind: 'text', description: '', lengthMin: 1, lengthMax: 1024 }

/** 'inFlightMax' -> 'IN_FLIGHT_MAX'; 'GRADE_FREE' stays. */
function variableStep (key: string): string { return key.replace(/([a-z\d])([A-Z])/g, '$1_$2').replace(/[^A-Za-z\d]/g, '_').toUpperCase() }

/** A variable is a text; what it stands for follows from the key. The reader refuses what doesn't fit. */
function valueFor (setting: Setting, value: string): unknown {
  switch (setting.kind) {
    case 'text': case 'choice': return value
    case 'integer': case 'size': return /^\d{1,16}$/.test(value) ? Number(value) : value
    case 'flag': return value === 'true' ? true : value === 'false' ? false : value
    default:
      try { return parse(value) as unknown } catch { return value }
  }
}

function place (root: Record<string, unknown>, path: Path, value: unknown, replaces: string | undefined): void {
  let parent: Record<string | number, unknown> = root
  for (const [at, step] of path.slice(0, -1).entries()) {
    if (typeof parent[step] !== 'object' || parent[step] === null) parent[step] = typeof path[at + 1] === 'number' ? [] : {}
    parent = parent[step] as Record<string | number, unknown>
  }
  parent[path.at(-1) as string | number] = value
  if (replaces !== undefined) delete parent[replaces]
}
