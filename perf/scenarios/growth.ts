// What a request costs, and a question takes, as what is stored grows tenfold and tenfold again: several programs side by side,
// each with its own number of events, take turns; and several ledgers, each with its own number of hourly rows.
import path from 'node:path'
import type { Contestant } from '../contestants/contestant.ts'
import { startUpstream } from '../contestants/line-up.ts'
import { startTollgate } from '../contestants/tollgate.ts'
import type { Tollgate } from '../contestants/tollgate.ts'
import { answeringCpuUs } from '../harness/measure.ts'
import type { Sample } from '../harness/measure.ts'
import { startMeasured } from '../harness/program.ts'
import { orderOf, percentileOf, spreadOf } from '../harness/rounds.ts'
import { prime, saturateOnce } from '../harness/saturation.ts'
import type { SaturationPlan } from '../harness/saturation.ts'
import { runToEnd } from '../harness/servers.ts'
import type { BenchContext, Scenario, ScenarioResult, Table } from '../harness/scenario.ts'
import { short, spreadText, thousands } from '../harness/table.ts'
import { awaitCountedAndArchived, billedCounts } from '../pipeline/checks.ts'
import { memberCount, pricesText } from '../pipeline/workload.ts'
import type { ProgramFiles } from '../../test/helpers/program.ts'
import { seededRandom } from '../../test/helpers/seeded-random.ts'
import { measureRows, rowSizes } from './growth-rows.ts'
import type { RowSample } from './growth-rows.ts'

const connections = 64
/** Of the benchmark's own requests: none of those whose events are loaded. */
const ownMemberId = 1_000
const livePath = '/api/v1/resource1/t1'
/** A journal holds so many at a time. */
const pieceEvents = 5_000_000
const firstLevel = 100_000
const firstLevelQuick = 5_000
const levelFactor = 10

interface Plan extends SaturationPlan { readonly levels: readonly number[], readonly queries: number, readonly archiveFlushMs: number }

function planOf ({ isQuick, events }: BenchContext): Plan {
  const most = events ?? (isQuick ? 50_000 : 10_000_000)
  const levels: number[] = []
  for (let level = isQuick ? firstLevelQuick : firstLevel; level <= most; level *= levelFactor) levels.push(level)
  if (levels.length === 0) levels.push(most)
  return isQuick ? { levels, queries: 10, archiveFlushMs: 1_000, primeRequests: 2_000, warmUpS: 0.3, saturationS: 1 } : { levels, queries: 200, archiveFlushMs: 4_000, primeRequests: 40_000, warmUpS: 1, saturationS: 8 }
}

interface Grown { readonly contestant: Contestant, readonly tollgate: Tollgate, readonly events: number, readonly counts: readonly number[], readonly loadS: number }
interface Timing { readonly events: number, readonly round: number, readonly totalMsP50: number, readonly chargeMsP50: number, readonly chargeMsP99: number }

/** Fills the journal and lets the program count and archive it, piece by piece. */
async function loadEvents (context: BenchContext, files: ProgramFiles, events: number): Promise<void> {
  for (let loaded = 0; loaded < events;) {
    const piece = Math.min(pieceEvents, events - loaded)
    await runToEnd(path.join(import.meta.dirname, '../pipeline/fill-journal.ts'), [files.configFile, String(piece)])
    const program = await startMeasured(context, files, { isReadyAwaited: false })
    await Promise.race([awaitCountedAndArchived(files.ports.operator, piece), program.diedEarly])
    await program.stop()
    loaded += piece
    if (events > pieceEvents) context.say(`${thousands(loaded)} of ${thousands(events)} events are stored`)
  }
}

async function grow (context: BenchContext, upstreamPort: number, events: number, plan: Plan): Promise<Grown> {
  context.say(`storing ${thousands(events)} events`)
  const startMs = performance.now()
  let loadS = 0
  const prepare = async (files: ProgramFiles): Promise<void> => {
    await loadEvents(context, files, events)
    loadS = (performance.now() - startMs) / 1000
  }
  const tollgate = await startTollgate(context, { folder: path.join(context.folder, `events-${events}`), upstreamPort, archiveFlushMs: plan.archiveFlushMs, prices: pricesText(), memberId: ownMemberId, prepare })
  const { files, token, pid, settleBilled } = tollgate
  const counts = await billedCounts({ privatePort: files.ports.privateBilling, operatorToken: files.operatorToken })
  const billed = counts.reduce((sum, count) => sum + count, 0)
  if (billed !== events) throw new Error(`${events} events were stored, ${billed} are on the bills`)
  return { contestant: { name: thousands(events), port: files.ports.gateway, path: livePath, headers: { 'x-api-key': token }, pid, settle: settleBilled }, tollgate, events, counts, loadS }
}

/** Asks for one member's charges after another's. @throws when an answer counts anything else than what was stored */
async function askCharges ({ tollgate: { files }, counts, events }: Grown, round: number, queries: number): Promise<Timing> {
  const random = seededRandom(7 + round)
  const day = (offset: number): string => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10)
  const ask = async (end: string, index: number): Promise<number> => {
    const url = `http://127.0.0.1:${files.ports.privateBilling}/private/aggregation/v1/member/${index + 1}/${end}?startDate=${day(-1)}&endDate=${day(0)}`
    const startMs = performance.now()
    const response = await fetch(url, { headers: { authorization: `Bearer ${files.operatorToken}` } })
    const text = await response.text()
    const tookMs = performance.now() - startMs
    const { totalCount } = (JSON.parse(text) as { readonly result: { readonly totalCount: number } }).result
    if (totalCount !== counts[index]) throw new Error(`member ${index + 1} has ${counts[index] ?? 0} requests, ${url} says ${totalCount}`)
    return tookMs
  }
  const times: { readonly total: number[], readonly charge: number[] } = { total: [], charge: [] }
  for (let query = 0; query < queries; query++) {
    const index = Math.floor(random() * memberCount)
    times.total.push(await ask('charge/total', index))
    times.charge.push(await ask('charge', index))
  }
  const at = (milliseconds: readonly number[], share: number): number => percentileOf(milliseconds.toSorted((a, b) => a - b), share)
  return { events, round, totalMsP50: at(times.total, 0.5), chargeMsP50: at(times.charge, 0.5), chargeMsP99: at(times.charge, 0.99) }
}

interface Found { readonly samples: readonly Sample[], readonly timings: readonly Timing[] }

async function measureAll (context: BenchContext, grown: readonly Grown[], upstreamPid: number, plan: Plan): Promise<Found> {
  for (const { contestant } of grown) await prime(contestant, { connections, plan })
  const [samples, timings]: [Sample[], Timing[]] = [[], []]
  for (let round = 0; round < context.rounds; round++) {
    for (const one of orderOf(grown, round)) {
      const sample = await saturateOnce(one.contestant, { upstreamPid, connections, round, plan })
      const timing = await askCharges(one, round, plan.queries)
      context.say(`round ${round + 1} of ${context.rounds}, ${thousands(one.events)} events: ${short(answeringCpuUs(sample))} us until the answer, ${short(sample.cpuUsPerRequest)} in all; a charge in ${short(timing.chargeMsP50)} ms`)
      samples.push(sample)
      timings.push(timing)
    }
  }
  return { samples, timings }
}

function eventsTable (grown: readonly Grown[], { samples, timings }: Found): Table {
  const [first] = grown
  const ofSamples = ({ contestant }: Grown): Sample[] => samples.filter((sample) => sample.contestant === contestant.name)
  const ofTimings = ({ events }: Grown): Timing[] => timings.filter((timing) => timing.events === events)
  const against = <Item extends { readonly round: number }>(own: readonly Item[], others: readonly Item[], value: (item: Item) => number): string =>
    spreadText(spreadOf(own.map((item) => value(item) / value(others.find(({ round }) => round === item.round) ?? item))))
  const inAll = ({ cpuUsPerRequest }: Sample): number => cpuUsPerRequest
  const charge = ({ chargeMsP50 }: Timing): number => chargeMsP50
  return {
    title: 'As stored events grow',
    columns: ['events stored', 'CPU us a request: until the answer', 'x the least', 'in all', 'x the least', 'charge/total: p50 ms', 'charge: p50 ms', 'p99 ms', 'x the least', 'stored in s'],
    rows: grown.map((one) => {
      const [own, others] = [ofSamples(one), ofSamples(first ?? one)]
      const [asked, othersAsked] = [ofTimings(one), ofTimings(first ?? one)]
      return [
        thousands(one.events), spreadText(spreadOf(own.map(answeringCpuUs))), against(own, others, answeringCpuUs), spreadText(spreadOf(own.map(inAll))), against(own, others, inAll),
        spreadText(spreadOf(asked.map(({ totalMsP50 }) => totalMsP50))), spreadText(spreadOf(asked.map(charge))), spreadText(spreadOf(asked.map(({ chargeMsP99 }) => chargeMsP99))), against(asked, othersAsked, charge), short(one.loadS)
      ]
    }),
    notes: ['charge: a member\'s by key, day and hour. The events that each program was sent meanwhile come on top of those stored.']
  }
}

function rowsTable (rows: readonly RowSample[]): Table {
  const sizes = [...new Set(rows.map((sample) => sample.rows))].sort((a, b) => a - b)
  const of = (size: number): RowSample[] => rows.filter((sample) => sample.rows === size)
  return {
    title: 'As hourly rows grow',
    columns: ['hourly rows', 'a member\'s day, p50 ms', 'p99 ms', 'x the least', 'rows of the answer'],
    rows: sizes.map((size) => [
      thousands(size), spreadText(spreadOf(of(size).map(({ msP50 }) => msP50))), spreadText(spreadOf(of(size).map(({ msP99 }) => msP99))),
      spreadText(spreadOf(of(size).map((sample) => sample.msP50 / (of(sizes[0] ?? 0).find(({ round }) => round === sample.round) ?? sample).msP50))), thousands(of(size)[0]?.answerRows ?? NaN)
    ]),
    notes: []
  }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const plan = planOf(context)
  const upstream = await startUpstream(context)
  const grown: Grown[] = []
  for (const events of plan.levels) grown.push(await grow(context, upstream.port, events, plan))
  const found = await measureAll(context, grown, upstream.pid, plan)
  for (const { tollgate, events } of grown) {
    context.say(`tollgate verify, ${thousands(events)} events`)
    await tollgate.verify()
    await tollgate.stop()
  }
  const rows = await measureRows(context, plan.queries)
  return {
    settings: [
      `Stored events: a journal filled with the product's own code as a gateway's worker fills it (perf/pipeline/fill-journal.ts), ${thousands(pieceEvents)} at a time, then counted, archived and billed by the program, which is stopped and started between: ${memberCount} members' calls in the hours in which they were loaded, so that hourly rows hardly grow with them; ${plan.levels.map(thousands).join(', ')} events in as many programs, which take turns.`,
      `Then each answers autocannon over ${connections} connections for ${plan.saturationS} s after ${plan.warmUpS} s to warm up (authenticated, limited, durably metered; archive each ${plan.archiveFlushMs / 1000} s), and is asked ${plan.queries} times over HTTP for the charges of a member at random, whose count is compared. ${context.rounds} rounds, the order turning; median (least to most), ratios within a round. Its own bill came to the answers each time; \`tollgate verify\` agreed.`,
      `Hourly rows: ledgers of ${rowSizes(context.isQuick).map(({ rows: size }) => thousands(size)).join(', ')} rows, made by perf/billing/hourly-rows.ts and loaded by the product's own ledger, a billing thread each, asked over HTTP for the same day of a member at random (usage by hour), ${plan.queries} times a round, in turn; every count compared with the rows.`
    ],
    tables: [eventsTable(grown, found), rowsTable(rows)],
    files: [],
    samples: [...found.samples, ...found.timings, ...rows]
  }
}

export const growth: Scenario = { name: 'growth', title: 'Cost and query time as what is stored grows', run }
