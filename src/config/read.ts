// A document against the schema: defaults filled in, sizes and paths made plain, everything else refused with its place.
import { nearestName } from '../domain/suggest.ts'
import type { Path, Report } from './problem.ts'
import { pathText } from './problem.ts'
import type { Setting } from './setting.ts'
import { formatSize, parseSize } from './size-text.ts'

export interface ReadContext {
  readonly report: Report
  /** Makes a path of the configuration absolute. */
  readonly absolutePath: (text: string) => string
  /** What a secret's file holds; reports and returns undefined when it can't be used. */
  readonly secretFrom: (path: Path, file: string) => string | undefined
  /** Called for a secret that stands in the document itself. */
  readonly onInlineSecret: (path: Path) => void
}

type Kind<Name extends Setting['kind']> = Setting & { readonly kind: Name }

/**
 * The document with all its defaults. Values that are to be worked out from the machine are still the word `auto`. Groups,
 * lists and maps are always there; a single value for which a problem was reported may be anything.
 */
export function readSetting (setting: Setting, given: unknown, path: Path, context: ReadContext): unknown {
  const value = given ?? (given === null ? emptyOf(setting) : setting.default)
  switch (setting.kind) {
    case 'group': return readGroup(setting, value ?? {}, path, context)
    case 'list': return readList(setting, value, path, context)
    case 'map': return readMap(setting, value, path, context)
    case 'either': return isObject(value) ? readSetting(setting.group, value, path, context) : readSetting(setting.scalar, value, path, context)
    case 'text': return readText(setting, value, path, context)
    case 'integer': return readNumber(setting, value, path, context)
    case 'size': return readNumber(setting, typeof value === 'string' ? parseSize(value) ?? value : value, path, context)
    case 'choice': return readChoice(setting, value, path, context)
    case 'flag':
      if (typeof value !== 'boolean') context.report(path, said(value, setting), 'it is true or false')
      return value
  }
}

/** A key with nothing behind it, as when all keys below are commented out. */
function emptyOf (setting: Setting): unknown { return setting.kind === 'group' ? {} : setting.kind === 'list' || setting.kind === 'map' ? setting.default : null }

function readGroup (setting: Kind<'group'>, given: unknown, path: Path, context: ReadContext): unknown {
  if (!isObject(given)) context.report(path, said(given, setting), `it holds the keys ${keysOf(setting).join(', ')}`)
  return readProperties(setting, isObject(given) ? given : {}, path, isObject(given) ? context : { ...context, report: () => {} })
}

function readProperties (setting: Kind<'group'>, value: Readonly<Record<string, unknown>>, path: Path, context: ReadContext): unknown {
  const known = keysOf(setting)
  for (const key of Object.keys(value)) if (!known.includes(key)) reportUnknown(key, known, path, context)
  const group: Record<string, unknown> = {}
  for (const [key, property] of Object.entries(setting.properties)) {
    const at = [...path, key]
    const given = Object.hasOwn(value, key) ? value[key] : undefined
    const file = property.kind === 'text' && property.secretFile !== undefined && Object.hasOwn(value, property.secretFile) ? value[property.secretFile] : undefined
    if (file !== undefined) group[key] = readSecretFile(property as Kind<'text'>, given, file, path, context)
    else if (given !== undefined || property.default !== undefined || isFilledIn(property)) group[key] = readSetting(property, given, at, context)
    else if (property['~optional'] !== true) reportMissing(property, at, context)
  }
  return group
}

/** The keys that a user may write: a secret may be named by its file too. */
export function keysOf (setting: Kind<'group'>): readonly string[] {
  return Object.entries(setting.properties).flatMap(([key, property]) => property.kind === 'text' && property.secretFile !== undefined ? [key, property.secretFile] : [key])
}

/** A group that isn't optional is there even when nobody writes it. */
function isFilledIn (property: Setting): boolean { return property.kind === 'group' && property['~optional'] !== true }

function reportUnknown (key: string, known: readonly string[], path: Path, context: ReadContext): void {
  const nearest = nearestName(key, known)
  context.report([...path, key], 'unknown key', nearest === undefined ? `known keys here are ${known.join(', ')}` : `did you mean \`${nearest}\`?`)
}

function reportMissing (property: Setting, path: Path, context: ReadContext): void {
  const either = property.kind === 'text' && property.secretFile !== undefined ? `, or \`${property.secretFile}\` with the name of a file that holds it` : ''
  context.report(path, 'missing', `give \`${pathText(path.slice(-1))}\`${either}: ${lowerFirst(property.description).replace(/\.$/, '')}`)
}

function readSecretFile (property: Kind<'text'>, given: unknown, file: unknown, path: Path, context: ReadContext): unknown {
  const at = [...path, property.secretFile as string]
  if (given !== undefined) context.report(at, 'the secret is given twice', 'keep the file and delete the secret itself')
  else if (typeof file !== 'string' || file === '') context.report(at, said(file, property), 'write the name of a file, relative to the configuration file')
  else {
    const secret = context.secretFrom(at, context.absolutePath(file))
    return secret === undefined ? undefined : checkedText(property, secret, at, context)
  }
  return undefined
}

function readList (setting: Kind<'list'>, value: unknown, path: Path, context: ReadContext): unknown {
  if (!Array.isArray(value)) context.report(path, said(value, setting), 'it is a list')
  else if (value.length > setting.itemsMax) context.report(path, `${value.length} entries`, `at most ${setting.itemsMax} are allowed`)
  else return value.map((item, at) => readSetting(setting.items, item, [...path, at], context))
  return []
}

const mapKey = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

function readMap (setting: Kind<'map'>, value: unknown, path: Path, context: ReadContext): unknown {
  if (!isObject(value)) {
    context.report(path, said(value, setting), 'it holds entries under names of your own')
    return {}
  }
  const entries = Object.entries(value)
  if (entries.length > setting.entriesMax) context.report(path, `${entries.length} entries`, `at most ${setting.entriesMax} are allowed`)
  const map: Record<string, unknown> = {}
  for (const [key, entry] of entries.slice(0, setting.entriesMax)) {
    if (!mapKey.test(key)) context.report([...path, key], 'not a name', 'a name has letters, digits, `.`, `_` and `-`, 64 at most')
    else map[key] = readSetting(setting.values, entry, [...path, key], context)
  }
  return map
}

function readText (setting: Kind<'text'>, value: unknown, path: Path, context: ReadContext): unknown {
  if (setting.secretFile !== undefined) context.onInlineSecret(path)
  if (setting.auto !== undefined && value === 'auto') return value
  const text = checkedText(setting, value, path, context)
  return setting.isPath === true && text !== undefined ? context.absolutePath(text) : text
}

function checkedText (setting: Kind<'text'>, value: unknown, path: Path, context: ReadContext): string | undefined {
  const isSecret = setting.secretFile !== undefined
  const { lengthMin, lengthMax, pattern, patternMeaning } = setting
  if (typeof value !== 'string') context.report(path, said(value, setting), `it is a text${typeof value === 'number' ? ': put it in quotes' : ''}`)
  else if (value.length < lengthMin) context.report(path, value === '' ? 'empty' : `${value.length} characters are too few`, `it has at least ${lengthMin} character${lengthMin === 1 ? '' : 's'}${isSecret ? '; `openssl rand -base64 48` makes a good one' : ''}`)
  else if (value.length > lengthMax) context.report(path, `${value.length} characters are too many`, `it has at most ${lengthMax}`)
  else if (pattern !== undefined && !new RegExp(`^(?:${pattern})$`).test(value)) context.report(path, isSecret ? 'has characters that it can\'t have' : said(value, setting), `it is ${patternMeaning ?? pattern}`)
  else return value
  return undefined
}

function readNumber (setting: Kind<'integer'> | Kind<'size'>, value: unknown, path: Path, context: ReadContext): unknown {
  if (setting.auto !== undefined && value === 'auto') return value
  const isInRange = typeof value === 'number' && Number.isSafeInteger(value) && value >= setting.minimum && value <= setting.maximum
  if (!isInRange) context.report(path, said(value, setting), rangeText(setting))
  return value
}

function rangeText (setting: Kind<'integer'> | Kind<'size'>): string {
  const auto = setting.auto === undefined ? '' : ', or `auto`'
  if (setting.kind === 'size') return `it is a size from ${formatSize(setting.minimum)} to ${formatSize(setting.maximum)}, such as 64MiB${auto}`
  return `it is a whole number (${setting.unit}) from ${setting.minimum} to ${setting.maximum}${auto}`
}

function readChoice (setting: Kind<'choice'>, value: unknown, path: Path, context: ReadContext): unknown {
  if (!setting.choices.includes(value as string)) {
    const nearest = typeof value === 'string' ? nearestName(value, setting.choices) : undefined
    context.report(path, said(value, setting), `it is one of ${setting.choices.join(', ')}${nearest === undefined ? '' : `; did you mean \`${nearest}\`?`}`)
  }
  return value
}

function isObject (value: unknown): value is Readonly<Record<string, unknown>> { return typeof value === 'object' && value !== null && !Array.isArray(value) }

const saidCharactersMax = 60
/** What stands there, for a message; where secrets belong, no more than its kind. */
function said (value: unknown, setting: Setting): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'no value'
  if (typeof value === 'object') return `${Array.isArray(value) ? 'a list' : 'an object'} is not allowed here`
  if (holdsSecret(setting)) return `a ${typeof value} is not allowed here`
  const text = JSON.stringify(value)
  return `${text.length > saidCharactersMax ? `${text.slice(0, saidCharactersMax)}…` : text} is not allowed here`
}

function holdsSecret (setting: Setting): boolean {
  switch (setting.kind) {
    case 'text': return setting.secretFile !== undefined
    case 'list': return holdsSecret(setting.items)
    case 'map': return holdsSecret(setting.values)
    case 'group': return Object.values(setting.properties).some(holdsSecret)
    default: return false
  }
}

function lowerFirst (text: string): string { return text.slice(0, 1).toLowerCase() + text.slice(1) }
