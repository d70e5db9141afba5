// The price book as it is written in a file, and everything that can be wrong with it. All problems are found at once.
import { formatMoney, moneyMicrosMax, parseMoney } from './money.ts'
import { compilePattern } from './route-pattern.ts'
import type { PathPattern } from './route-pattern.ts'
import { nearestName } from './suggest.ts'
import { hourOf, hourStartMs, isHourBoundary, parseDate, parseInstantMs } from './window.ts'

/**
 * The file. Instants are ISO 8601 with a zone, such as `2026-01-01T00:00:00+09:00`, or a date for its UTC midnight, and
 * stand on an hour's beginning. `cost` is a decimal of at most six places, per unit. `group` is a group's id.
 */
export interface PriceBookDocument {
  readonly currency: string
  readonly groups: readonly { readonly id: number, readonly name: string, readonly prices: readonly { readonly from?: string, readonly cost: string | number }[] }[]
  readonly endpoints: readonly {
    readonly id: number, readonly group: number, readonly method?: string, readonly path: string
    readonly from?: string, readonly until?: string
  }[]
}

/** `path` stands in the document, such as `groups[2].prices[1].from`. */
export interface PriceBookProblem { readonly path: string, readonly message: string, readonly remedy: string }

export interface PriceGroup {
  readonly id: number
  readonly name: string
  /** By `fromHour`, rising; the first holds since ever. Never empty. */
  readonly prices: readonly Price[]
}

/** `fromHour`: the first hour with this price, `-Infinity` for since ever. `costMicros`: per unit. */
export interface Price { readonly fromHour: number, readonly costMicros: bigint }

export interface PricedEndpoint {
  readonly id: number
  readonly group: PriceGroup
  /** Undefined: every method. */
  readonly method: string | undefined
  readonly pattern: PathPattern
  /** In effect for requests with `fromMs <= requestTime < untilMs`; infinite where not said. */
  readonly fromMs: number
  readonly untilMs: number
}

export interface PriceBookContent {
  readonly currency: string
  readonly groups: readonly PriceGroup[]
  readonly endpoints: readonly PricedEndpoint[]
}

const groupsMax = 1_000
const pricesMax = 1_000
const endpointsMax = 10_000
const nameCharactersMax = 200
const methodPattern = /^[A-Z][A-Z-]{0,31}$/
const currencyPattern = /^[A-Z]{3}$/

/** A number is taken as it is printed, which is what the file says only up to this many digits. */
const numberDigitsMax = 15

type Fields = Readonly<Record<string, unknown>>
interface Report { readonly problems: PriceBookProblem[], readonly add: (path: string, message: string, remedy: string) => void }

export function readPriceBook (document: unknown): PriceBookContent | { readonly problems: readonly PriceBookProblem[] } {
  const problems: PriceBookProblem[] = []
  const report: Report = { problems, add: (path, message, remedy) => { problems.push({ path, message, remedy }) } }
  const fields = readFields(report, '', document, ['currency', 'groups', 'endpoints'])
  const currency = readText(report, 'currency', fields['currency'], currencyPattern, 'three capitals, such as KRW')
  const groups = readGroups(report, fields['groups'])
  const endpoints = readEndpoints(report, fields['endpoints'], groups)
  refuseOverlaps(report, endpoints)
  return problems.length > 0 ? { problems } : { currency, groups: [...groups.values()], endpoints: endpoints.map(({ endpoint }) => endpoint) }
}

function readGroups (report: Report, list: unknown): ReadonlyMap<number, PriceGroup> {
  const groups = new Map<number, PriceGroup>()
  for (const [at, item] of readList(report, 'groups', list, groupsMax).entries()) {
    const path = `groups[${at}]`
    const fields = readFields(report, path, item, ['id', 'name', 'prices'])
    const id = readId(report, `${path}.id`, fields['id'], new Set(groups.keys()))
    const name = readText(report, `${path}.name`, fields['name'], /\S/, 'a name that people recognise')
    const prices = readPrices(report, `${path}.prices`, fields['prices'])
    if (id !== undefined) groups.set(id, { id, name, prices })
  }
  return groups
}

function readPrices (report: Report, path: string, list: unknown): readonly Price[] {
  const prices = new Map<number, Price>()
  const items = readList(report, path, list, pricesMax)
  for (const [at, item] of items.entries()) {
    const fields = readFields(report, `${path}[${at}]`, item, ['from', 'cost'])
    const costMicros = readCost(report, `${path}[${at}].cost`, fields['cost'])
    const fromMs = fields['from'] === undefined ? -Infinity : readInstant(report, `${path}[${at}].from`, fields['from'])
    if (fromMs === undefined) continue
    const fromHour = hourOf(fromMs)
    if (prices.has(fromHour)) report.add(fromMs === -Infinity ? `${path}[${at}]` : `${path}[${at}].from`, fromMs === -Infinity ? 'a second price without `from`' : 'a second price from the same hour on', 'each price of a group starts at another hour, and one has no `from`')
    prices.set(fromHour, { fromHour, costMicros })
  }
  if (items.length > 0 && !prices.has(-Infinity)) report.add(path, 'no price holds since ever', 'leave `from` out of the group\'s oldest price: an hour without a price would be free without anyone having said so')
  if (Array.isArray(list) && items.length === 0) report.add(path, 'a group without a price', 'give it one, such as `- cost: 0` where it is free')
  return [...prices.values()].sort((a, b) => a.fromHour < b.fromHour ? -1 : 1)
}

function readCost (report: Report, path: string, value: unknown): bigint {
  const remedy = `write a decimal from 0 to ${formatMoney(moneyMicrosMax)} with at most six places, in quotes when it is long, such as '12.5'`
  const text = typeof value === 'number' ? String(value) : value
  const isExact = typeof value !== 'number' || String(value).replace(/\D/g, '').length <= numberDigitsMax
  const costMicros = typeof text === 'string' && isExact ? parseMoney(text) : undefined
  if (costMicros === undefined) report.add(path, value === undefined ? 'missing' : 'not an amount of money', remedy)
  else if (costMicros < 0n) report.add(path, 'a price below zero', remedy)
  return costMicros ?? 0n
}

/** An endpoint and where it stands in the document. */
interface ReadEndpoint { readonly path: string, readonly endpoint: PricedEndpoint }

function readEndpoints (report: Report, list: unknown, groups: ReadonlyMap<number, PriceGroup>): readonly ReadEndpoint[] {
  const endpoints: ReadEndpoint[] = []
  const ids = new Set<number>()
  for (const [at, item] of readList(report, 'endpoints', list, endpointsMax).entries()) {
    const path = `endpoints[${at}]`
    const fields = readFields(report, path, item, ['id', 'group', 'method', 'path', 'from', 'until'])
    const id = readId(report, `${path}.id`, fields['id'], ids)
    if (id !== undefined) ids.add(id)
    const group = groups.get(fields['group'] as number)
    if (group === undefined) report.add(`${path}.group`, fields['group'] === undefined ? 'missing' : 'no such group', `name the id of one of \`groups\`${groups.size === 0 ? '' : `, such as ${[...groups.keys()].slice(0, 5).join(', ')}`}`)
    const method = fields['method'] === undefined ? undefined : readText(report, `${path}.method`, fields['method'], methodPattern, 'a method in capitals, such as GET; none at all for every method')
    const pattern = readPattern(report, `${path}.path`, fields['path'])
    const fromMs = fields['from'] === undefined ? -Infinity : readInstant(report, `${path}.from`, fields['from'])
    const untilMs = fields['until'] === undefined ? Infinity : readInstant(report, `${path}.until`, fields['until'])
    if (fromMs === undefined || untilMs === undefined) continue
    if (untilMs <= fromMs) report.add(`${path}.until`, 'not after `from`', 'the endpoint must be in effect for an hour at least')
    if (id !== undefined && group !== undefined && pattern !== undefined) endpoints.push({ path, endpoint: { id, group, method, pattern, fromMs, untilMs } })
  }
  return endpoints
}

/** Two endpoints for the same requests at the same time would make the price depend on their order in the file. */
function refuseOverlaps (report: Report, endpoints: readonly ReadEndpoint[]): void {
  const latest = new Map<string, ReadEndpoint>()
  for (const current of [...endpoints].sort((a, b) => a.endpoint.fromMs < b.endpoint.fromMs ? -1 : a.endpoint.fromMs > b.endpoint.fromMs ? 1 : 0)) {
    const key = `${current.endpoint.method ?? '*'} ${current.endpoint.pattern.shape}`
    const earlier = latest.get(key)
    if (earlier !== undefined && current.endpoint.fromMs < earlier.endpoint.untilMs) {
      report.add(current.path, `in effect together with ${earlier.path} (id ${earlier.endpoint.id}), which has the same method and matches the same paths`, 'end the earlier one with `until` at the instant where the other one has its `from`, or delete one')
    }
    if (earlier === undefined || current.endpoint.untilMs > earlier.endpoint.untilMs) latest.set(key, current)
  }
}

function readPattern (report: Report, path: string, value: unknown): PathPattern | undefined {
  const compiled = typeof value === 'string' ? compilePattern(value) : { problem: value === undefined ? 'missing' : 'not a text' }
  if ('pattern' in compiled) return compiled.pattern
  report.add(path, compiled.problem, 'write a path such as /tracking/{id} or /tracking/**')
  return undefined
}

function readInstant (report: Report, path: string, value: unknown): number | undefined {
  const remedy = 'write an ISO instant on the hour with its zone, such as 2026-01-01T00:00:00Z or 2026-01-01T00:00:00+09:00, or a date for its midnight in UTC'
  const dateHour = typeof value === 'string' ? parseDate(value) : undefined
  const timeMs = typeof value !== 'string' ? undefined : dateHour !== undefined ? hourStartMs(dateHour) : parseInstantMs(value)
  if (timeMs === undefined) report.add(path, 'not an instant', remedy)
  else if (!isHourBoundary(timeMs)) report.add(path, 'not at the beginning of an hour', remedy)
  else return timeMs
  return undefined
}

function readId (report: Report, path: string, value: unknown, taken: ReadonlySet<number>): number | undefined {
  const isId = Number.isSafeInteger(value) && (value as number) > 0
  if (!isId) report.add(path, value === undefined ? 'missing' : 'not an id', 'an id is a whole number from 1 on; 0 stands for requests without a price')
  else if (taken.has(value as number)) report.add(path, `the id ${value as number} stands there twice`, 'give it an id of its own; ids are in stored counts, so never give an old one a new meaning')
  else return value as number
  return undefined
}

function readText (report: Report, path: string, value: unknown, pattern: RegExp, meaning: string): string {
  if (typeof value === 'string' && value.length <= nameCharactersMax && pattern.test(value)) return value
  report.add(path, value === undefined ? 'missing' : `not ${meaning}`, `write ${meaning}`)
  return ''
}

function readList (report: Report, path: string, value: unknown, lengthMax: number): readonly unknown[] {
  if (!Array.isArray(value)) report.add(path, value === undefined ? 'missing' : 'not a list', `\`${path}\` is a list`)
  else if (value.length > lengthMax) report.add(path, `${value.length} entries`, `at most ${lengthMax} are allowed`)
  else return value
  return []
}

function readFields (report: Report, path: string, value: unknown, known: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report.add(path, 'not an object', `it has the keys ${known.join(', ')}`)
    return {}
  }
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue
    const nearest = nearestName(key, known)
    report.add(path === '' ? key : `${path}.${key}`, 'unknown key', nearest === undefined ? `known keys are ${known.join(', ')}` : `did you mean \`${nearest}\`?`)
  }
  return value as Fields
}
