// What durability costs at rates from low to high: CPU a request, and bytes that go to the block device, which is what wears
// flash. Twice side by side: once with only the journal on the device, once with all that Tollgate writes.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { meteredPath } from '../contestants/answer.ts'
import { startUpstream } from '../contestants/line-up.ts'
import { startTollgate } from '../contestants/tollgate.ts'
import type { Tollgate } from '../contestants/tollgate.ts'
import { costBetween, costOf } from '../harness/cost.ts'
import { blockDeviceOf } from '../harness/device.ts'
import type { BlockDevice } from '../harness/device.ts'
import { answeringCpuUs } from '../harness/measure.ts'
import { readMetrics } from '../harness/program-metrics.ts'
import { orderOf, spreadOf } from '../harness/rounds.ts'
import type { BenchContext, Scenario, ScenarioResult, Table } from '../harness/scenario.ts'
import { short, spreadText, thousands } from '../harness/table.ts'
import { runOpenModel } from '../load/open-model.ts'
import { saturate } from '../load/saturate.ts'
import type { LoadOutcome, Target } from '../load/saturate.ts'
import { meanEventBytes } from '../pipeline/event-bytes.ts'

const rates = [250, 1_000, 'saturation'] as const
type Rate = typeof rates[number]
const kinds = { alone: 'the journal alone', all: 'all that is written' } as const
type Kind = keyof typeof kinds
const fixedConnections = 16
const saturationConnections = 64
const memoryParent = '/dev/shm'
const daySeconds = 86_400

interface Plan { readonly primeS: number, readonly windowS: number, readonly idleS: number, readonly archiveFlushMs: number }
/** The archive's interval is the configuration's default: it decides how soon a segment can be used again. */
const fullPlan: Plan = { primeS: 90, windowS: 60, idleS: 15, archiveFlushMs: 60_000 }
const quickPlan: Plan = { primeS: 1, windowS: 2, idleS: 1, archiveFlushMs: 1_000 }

interface Side { readonly kind: Kind, readonly tollgate: Tollgate, readonly journalFolder: string }

interface Sample {
  readonly kind: Kind
  readonly rate: Rate
  readonly round: number
  readonly requests: number
  readonly ratePerS: number
  /** Gateway and journal, while requests came. */
  readonly cpuUsPerRequest: number
  readonly journalCpuUsPerRequest: number
  readonly commits: number
  /** By the journal's own count. */
  readonly journalBytes: number
  /** Until the last request was on the bill and in the archive; undefined without a device. */
  readonly deviceBytes: number | undefined
}

/** @returns where the state folder really is, when all but the journal is to lie in memory */
function moveIntoMemory (context: BenchContext, folder: string): string {
  const memory = mkdtempSync(path.join(memoryParent, 'bench-'))
  context.onEnd(() => { rmSync(memory, { recursive: true, force: true }) })
  const journalFolder = path.join(folder, 'journal')
  mkdirSync(journalFolder, { recursive: true, mode: 0o700 })
  symlinkSync(journalFolder, path.join(memory, 'journal'))
  symlinkSync(memory, path.join(folder, 'state'))
  return journalFolder
}

async function startSide (context: BenchContext, kind: Kind, upstreamPort: number, plan: Plan): Promise<Side> {
  const folder = path.join(context.folder, kind)
  mkdirSync(folder)
  const journalFolder = kind === 'alone' ? moveIntoMemory(context, folder) : path.join(folder, 'state/journal')
  return { kind, tollgate: await startTollgate(context, { folder, upstreamPort, archiveFlushMs: plan.archiveFlushMs }), journalFolder }
}

function targetOf ({ files, token }: Tollgate): Target { return { port: files.ports.gateway, path: meteredPath, headers: { 'x-api-key': token } } }

/** At the rate for so many seconds. @param saturationPerS what saturation was found to be */
async function load (side: Side, rate: Rate, seconds: number, saturationPerS: number): Promise<LoadOutcome> {
  const target = targetOf(side.tollgate)
  if (rate === 'saturation') return await saturate(target, { connections: saturationConnections, requests: saturationPerS * seconds })
  return await runOpenModel({ ...target, connections: fixedConnections, ratePerS: rate, requests: rate * seconds })
}

/** Long enough for the journal to have made the segments that it will use again. @returns requests a second */
async function prime ({ tollgate }: Side, plan: Plan): Promise<number> {
  const target = targetOf(tollgate)
  const probe = await saturate(target, { connections: saturationConnections, requests: 4_000 })
  const outcome = await saturate(target, { connections: saturationConnections, requests: probe.requests / probe.seconds * plan.primeS })
  await tollgate.settleBilled({ complete: probe.requests + outcome.requests, cutMax: 0 })
  return outcome.requests / outcome.seconds
}

async function measureOnce (side: Side, rate: Rate, round: number, { plan, device, saturationPerS }: { readonly plan: Plan, readonly device: BlockDevice | undefined, readonly saturationPerS: number }): Promise<Sample> {
  const { tollgate } = side
  const metrics = (): Promise<ReadonlyMap<string, number>> => readMetrics(tollgate.files.ports.operator)
  const [before, metricsBefore, deviceBefore] = [costOf(tollgate.pid), await metrics(), device?.writtenBytes()]
  const { requests, seconds } = await load(side, rate, plan.windowS, saturationPerS)
  const cost = costBetween(before, costOf(tollgate.pid))
  await tollgate.settleBilled({ complete: requests, cutMax: 0 })
  const deviceAfter = device?.writtenBytes()
  const metricsAfter = await metrics()
  const more = (name: string): number => (metricsAfter.get(name) ?? 0) - (metricsBefore.get(name) ?? 0)
  const perRequest = (cpuMs: number): number => cpuMs * 1000 / requests
  const cpuUsPerRequestByThread = Object.fromEntries(Object.entries(cost.cpuMsByThread).map(([name, cpuMs]) => [name, perRequest(cpuMs)]))
  return {
    kind: side.kind,
    rate,
    round,
    requests,
    ratePerS: requests / seconds,
    cpuUsPerRequest: answeringCpuUs({ cpuUsPerRequest: perRequest(cost.cpuMs), cpuUsPerRequestByThread }),
    journalCpuUsPerRequest: cpuUsPerRequestByThread['journal'] ?? 0,
    commits: more('tollgate_journal_commit_seconds_count'),
    journalBytes: more('tollgate_journal_written_bytes_total'),
    deviceBytes: deviceAfter === undefined || deviceBefore === undefined ? undefined : deviceAfter - deviceBefore
  }
}

async function measureAll (context: BenchContext, sides: readonly Side[], plan: Plan, device: BlockDevice | undefined): Promise<Sample[]> {
  const saturationPerS = new Map<Kind, number>()
  for (const side of sides) {
    context.say(`${kinds[side.kind]}: ${plan.primeS} s of load first`)
    saturationPerS.set(side.kind, await prime(side, plan))
  }
  const samples: Sample[] = []
  for (let round = 0; round < context.rounds; round++) {
    for (const rate of rates) {
      for (const side of orderOf(sides, round)) {
        const sample = await measureOnce(side, rate, round, { plan, device, saturationPerS: saturationPerS.get(side.kind) ?? 0 })
        context.say(`round ${round + 1} of ${context.rounds}, ${rateText(rate)}, ${kinds[side.kind]}: ${short(sample.cpuUsPerRequest)} us, ${short((sample.deviceBytes ?? NaN) / sample.requests)} bytes to the device a request`)
        samples.push(sample)
      }
    }
  }
  return samples
}

const rateText = (rate: Rate): string => rate === 'saturation' ? 'saturation' : `${thousands(rate)} requests/s`

function tablesOf (samples: readonly Sample[], eventBytes: number): Table[] {
  const spread = (kind: Kind, rate: Rate, value: (sample: Sample) => number): string => {
    const values = samples.filter((sample) => sample.kind === kind && sample.rate === rate).map(value)
    return values.some(Number.isNaN) ? '-' : spreadText(spreadOf(values))
  }
  const device = ({ deviceBytes, requests }: Sample): number => (deviceBytes ?? NaN) / requests
  const gigabytesADay = (sample: Sample): number => device(sample) * sample.ratePerS * daySeconds / 1e9
  return [{
    title: 'The journal',
    columns: ['rate', 'requests/s', 'CPU us a request: gateway and journal', 'of it the journal\'s thread', 'events a commit', 'bytes to the device per event byte', 'by its own count', 'GB a day'],
    rows: rates.map((rate) => [
      rateText(rate), spread('alone', rate, ({ ratePerS }) => ratePerS), spread('alone', rate, ({ cpuUsPerRequest }) => cpuUsPerRequest), spread('alone', rate, ({ journalCpuUsPerRequest }) => journalCpuUsPerRequest),
      spread('alone', rate, ({ requests, commits }) => requests / commits), spread('alone', rate, (sample) => device(sample) / eventBytes), spread('alone', rate, ({ journalBytes, requests }) => journalBytes / requests / eventBytes), spread('alone', rate, gigabytesADay)
    ]),
    notes: [`An event has ${short(eventBytes)} bytes. By its own count: what the journal says that its commits have written; the device's count has the zeros of new segments and the file system's own writes too.`]
  }, {
    title: 'All that Tollgate writes: journal, counts, archive, ledger',
    columns: ['rate', 'requests/s', 'bytes to the device per event byte', 'bytes a request', 'GB a day'],
    rows: rates.map((rate) => [
      rateText(rate), spread('all', rate, ({ ratePerS }) => ratePerS), spread('all', rate, (sample) => device(sample) / eventBytes), spread('all', rate, device), spread('all', rate, gigabytesADay)
    ]),
    notes: []
  }]
}

async function writtenWhileIdle (device: BlockDevice | undefined, seconds: number): Promise<number> {
  const before = device?.writtenBytes() ?? NaN
  await sleep(seconds * 1000)
  return ((device?.writtenBytes() ?? NaN) - before) / seconds
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const plan = context.isQuick ? quickPlan : fullPlan
  const device = blockDeviceOf(context.folder)
  if (device === undefined) context.say('the checkout lies on no block device of its own: bytes can\'t be counted')
  const upstream = await startUpstream(context)
  const idleBytesPerS = await writtenWhileIdle(device, plan.idleS)
  const sides: Side[] = []
  for (const kind of ['alone', 'all'] as const) sides.push(await startSide(context, kind, upstream.port, plan))
  const idleBytesPerSWithBoth = await writtenWhileIdle(device, plan.idleS)
  const samples = await measureAll(context, sides, plan, device)
  const eventBytes = meanEventBytes(sides[0]?.journalFolder ?? '')
  for (const { tollgate } of sides) await tollgate.verify()
  return {
    settings: [
      'Twice Tollgate with all roles in one process, default configuration with grades that never refuse' + (context.isQuick ? `, the archive written each ${plan.archiveFlushMs / 1000} s` : '') + `, taking turns. For "The journal" everything else that it writes (counts, archive, ledger, registry) lies in memory (${memoryParent}), so that the device meets the journal alone.`,
      `Fixed rates: ${fixedConnections} connections, requests sent whether or not earlier ones were answered; saturation: autocannon, ${saturationConnections} connections. ${plan.windowS} s each, after ${plan.primeS} s of saturation, in which the journal has made the segments that it uses again. ${context.rounds} rounds; median (least to most).`,
      `Bytes are those that the kernel counts for the block device${device === undefined ? '' : ` (${device.name})`} from the first request until the last one was on the bill and in the archive, everybody's: without Tollgate it took ${short(idleBytesPerS / 1000)} KB/s, with both idle ${short(idleBytesPerSWithBoth / 1000)} KB/s. CPU is that of gateway and journal while requests came. GB a day: at the rate of the row, day and night.`,
      'Each time the bill came to as many requests as were answered; `tollgate verify` agreed.'
    ],
    tables: tablesOf(samples, eventBytes),
    files: [],
    samples
  }
}

export const journal: Scenario = { name: 'journal', title: 'What durability costs: CPU, and bytes to the device', run }
