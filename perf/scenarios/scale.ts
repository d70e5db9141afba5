// What size costs: a request with many keys, many routes, many connections held beside it, two workers; each beside the same
// request with one of each. And what an idle connection keeps in memory.
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { meteredPath } from '../contestants/answer.ts'
import type { Contestant } from '../contestants/contestant.ts'
import { adminEnv, createKeys } from '../contestants/keys.ts'
import { startUpstream } from '../contestants/line-up.ts'
import { startTollgate, usageCounts } from '../contestants/tollgate.ts'
import type { Tollgate, TollgateSetup } from '../contestants/tollgate.ts'
import { rssOf } from '../harness/cost.ts'
import { answeringCpuUs } from '../harness/measure.ts'
import type { Sample } from '../harness/measure.ts'
import { orderOf, spreadOf } from '../harness/rounds.ts'
import { prime, saturateOnce } from '../harness/saturation.ts'
import type { SaturationPlan } from '../harness/saturation.ts'
import type { BenchContext, Scenario, ScenarioResult, Table } from '../harness/scenario.ts'
import { megabytes, short, spreadText, thousands } from '../harness/table.ts'
import { holdConnections } from '../load/idle-connections.ts'
import type { IdleConnections } from '../load/idle-connections.ts'
import { loadThreads } from '../load/saturate.ts'

const connections = 64
/** Less than the 10 s after which the gateway lets a silent connection go. */
const sayEveryMs = 5_000
/** From here on a figure of memory is believed. */
const restMs = 3_000
const oneWorker = { TOLLGATE_GATEWAY__WORKERS: '1' } as const
const idleEnv = { TOLLGATE_GATEWAY__ADDRESS_CONNECTIONS_MAX: '20000' } as const
/** What the others are compared with. */
const base = 'one key, one route'
const oneRoute = '\n    - { id: api, path: "/api/**", upstream: main }'

interface Plan extends SaturationPlan { readonly keys: number, readonly routes: number, readonly idle: number, readonly archiveFlushMs: number, readonly idleWatchMs: number }
const fullPlan: Plan = { primeRequests: 40_000, warmUpS: 1, saturationS: 8, keys: 10_000, routes: 1_000, idle: 10_000, archiveFlushMs: 4_000, idleWatchMs: 2 * sayEveryMs }
const quickPlan: Plan = { primeRequests: 2_000, warmUpS: 0.3, saturationS: 1, keys: 200, routes: 50, idle: 500, archiveFlushMs: 1_000, idleWatchMs: 1_000 }

interface Variation { readonly contestant: Contestant, readonly tollgate: Tollgate, readonly check: () => Promise<void> }
interface LineUp {
  readonly variations: readonly Variation[]
  readonly upstreamPid: number
  readonly idle: IdleConnections
}
interface Memory { readonly round: number, readonly beforeBytes: number, readonly heldBytes: number, readonly bytesPerConnection: number }

const routeOf = (index: number): string => `/route${index}/**`
const routePathOf = (index: number): string => `/route${index}/things/t1`

/** As many routes as endpoints of the price book. */
function manyRoutes (count: number): Pick<TollgateSetup, 'routes' | 'prices'> {
  const numbers = Array.from({ length: count }, (_, index) => index)
  return {
    routes: numbers.map((index) => `\n    - { id: route${index}, path: "${routeOf(index)}", upstream: main }`).join(''),
    prices: `currency: KRW\ngroups:\n  - { id: 1, name: reads, prices: [{ cost: "3" }] }\nendpoints:\n${numbers.map((index) => `  - { id: ${index + 1}, group: 1, method: GET, path: "/route${index}/things/{thing}" }`).join('\n')}\n`
  }
}

/** @throws unless each of `expected` keys or endpoints is on the bill */
async function checkEach (tollgate: Tollgate, by: 'key' | 'endpoint', expected: number): Promise<void> {
  const counts = await usageCounts(tollgate, by)
  if (counts.length !== expected) throw new Error(`${expected} of a ${by} were asked for in turn, ${counts.length} are on the bill`)
}

async function startLineUp (context: BenchContext, upstream: { readonly port: number, readonly pid: number }, plan: Plan): Promise<LineUp> {
  const start = (name: string, { env, ...setup }: Partial<TollgateSetup> = {}): Promise<Tollgate> =>
    startTollgate(context, { folder: path.join(context.folder, name), upstreamPort: upstream.port, archiveFlushMs: plan.archiveFlushMs, routes: oneRoute, ...setup, env: { ...oneWorker, ...env } })
  const contestantOf = (name: string, tollgate: Tollgate, turn?: Contestant['turn']): Contestant => ({
    name, port: tollgate.files.ports.gateway, path: meteredPath, headers: { 'x-api-key': tollgate.token }, pid: tollgate.pid, settle: tollgate.settleBilled, ...(turn === undefined ? {} : { turn })
  })
  const variation = (name: string, tollgate: Tollgate, turn?: Contestant['turn'], check = async (): Promise<void> => {}): Variation => ({ contestant: contestantOf(name, tollgate, turn), tollgate, check })
  context.say('starting Tollgate five times')
  const [one, keys, routes, held, workers] = [
    await start('one'), await start('keys', { env: adminEnv }), await start('routes', manyRoutes(plan.routes)), await start('idle', { env: idleEnv }), await start('workers', { env: { TOLLGATE_GATEWAY__WORKERS: '2' } })
  ]
  context.say(`making ${thousands(plan.keys)} keys`)
  const tokens = await createKeys(keys, plan.keys)
  context.say(`opening ${thousands(plan.idle)} connections`)
  const idle = await holdConnections({ port: held.files.ports.gateway, count: plan.idle, sayEveryMs })
  context.onEnd(idle.close)
  const variations = [
    variation(base, one),
    variation(`${thousands(plan.keys)} keys in turn`, keys, tokens.map((token) => ({ path: meteredPath, headers: { 'x-api-key': token } })), () => checkEach(keys, 'key', plan.keys)),
    variation(`${thousands(plan.routes)} routes in turn`, routes, Array.from({ length: plan.routes }, (_, index) => ({ path: routePathOf(index), headers: { 'x-api-key': routes.token } })), () => checkEach(routes, 'endpoint', plan.routes)),
    variation(`${thousands(plan.idle)} idle connections beside`, held, undefined, async () => { idle.check() }),
    variation('two workers', workers)
  ]
  return { variations, upstreamPid: upstream.pid, idle }
}

async function measureAll (context: BenchContext, { variations, upstreamPid }: LineUp, plan: Plan): Promise<Sample[]> {
  for (const { contestant } of variations) await prime(contestant, { connections, plan })
  const samples: Sample[] = []
  for (let round = 0; round < context.rounds; round++) {
    for (const { contestant, check } of orderOf(variations, round)) {
      const sample = await saturateOnce(contestant, { upstreamPid, connections, round, plan })
      await check()
      context.say(`round ${round + 1} of ${context.rounds}, ${contestant.name}: ${short(answeringCpuUs(sample))} us until the answer, ${short(sample.cpuUsPerRequest)} in all, ${short(sample.ratePerS)} requests/s`)
      samples.push(sample)
    }
  }
  return samples
}

/** A process of its own each round: memory that was once used would hold the next connections for nothing. */
async function measureConnections (context: BenchContext, upstream: { readonly port: number }, plan: Plan): Promise<Memory[]> {
  const memories: Memory[] = []
  for (let round = 0; round < context.rounds; round++) {
    const tollgate = await startTollgate(context, { folder: path.join(context.folder, `memory-${round}`), upstreamPort: upstream.port, archiveFlushMs: plan.archiveFlushMs, routes: oneRoute, env: { ...oneWorker, ...idleEnv } })
    await prime({ name: 'memory', port: tollgate.files.ports.gateway, path: meteredPath, headers: { 'x-api-key': tollgate.token }, pid: tollgate.pid, settle: tollgate.settleBilled }, { connections, plan })
    await sleep(restMs)
    const beforeBytes = rssOf(tollgate.pid)
    const held = await holdConnections({ port: tollgate.files.ports.gateway, count: plan.idle, sayEveryMs })
    context.onEnd(held.close)
    await sleep(plan.idleWatchMs)
    const heldBytes = rssOf(tollgate.pid)
    held.check()
    await held.close()
    await tollgate.stop()
    memories.push({ round, beforeBytes, heldBytes, bytesPerConnection: (heldBytes - beforeBytes) / plan.idle })
    context.say(`round ${round + 1} of ${context.rounds}: ${short((heldBytes - beforeBytes) / plan.idle / 1000)} KB a connection`)
  }
  return memories
}

function tablesOf (samples: readonly Sample[], memories: readonly Memory[], plan: Plan): Table[] {
  const of = (name: string): Sample[] => samples.filter(({ contestant }) => contestant === name)
  const spread = (own: readonly Sample[], value: (sample: Sample) => number): string => spreadText(spreadOf(own.map(value)))
  const ratio = (own: readonly Sample[], value: (sample: Sample) => number): string =>
    spread(own, (sample) => value(sample) / value(of(base).find(({ round }) => round === sample.round) ?? sample))
  const inAll = ({ cpuUsPerRequest }: Sample): number => cpuUsPerRequest
  return [{
    title: `CPU of Tollgate's process, us a request, ${connections} connections`,
    columns: ['', 'until the answer', 'x one', 'in all', 'x one', 'requests/s', 'p50 ms', 'p99 ms', 'RSS MB'],
    rows: [...new Set(samples.map(({ contestant }) => contestant))].map((name) => [
      name, spread(of(name), answeringCpuUs), ratio(of(name), answeringCpuUs), spread(of(name), inAll), ratio(of(name), inAll),
      spread(of(name), ({ ratePerS }) => ratePerS), spread(of(name), ({ latencyMsP50 }) => latencyMsP50), spread(of(name), ({ latencyMsP99 }) => latencyMsP99), megabytes(Math.max(...of(name).map(({ rssBytes }) => rssBytes)))
    ]),
    notes: ['until the answer: gateway and journal, without the threads that count, archive and bill.']
  }, {
    title: `Memory of ${thousands(plan.idle)} idle connections`,
    columns: ['without, MB', 'with, MB', 'KB a connection'],
    rows: [[
      spreadText(spreadOf(memories.map(({ beforeBytes }) => beforeBytes / 1e6))), spreadText(spreadOf(memories.map(({ heldBytes }) => heldBytes / 1e6))),
      spreadText(spreadOf(memories.map(({ bytesPerConnection }) => bytesPerConnection / 1000)))
    ]],
    notes: ['Resident memory of the process; what the kernel keeps for its sockets is not in it.']
  }]
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const plan = context.isQuick ? quickPlan : fullPlan
  const upstream = await startUpstream(context)
  const lineUp = await startLineUp(context, upstream, plan)
  const samples = await measureAll(context, lineUp, plan)
  await lineUp.idle.close()
  context.say('tollgate verify, five times')
  for (const { tollgate } of lineUp.variations) {
    await tollgate.verify()
    await tollgate.stop()
  }
  const memories = await measureConnections(context, upstream, plan)
  return {
    settings: [
      `Five times Tollgate with all roles in one process, default configuration with grades that never refuse and, but for the last, one worker; the archive is written each ${plan.archiveFlushMs / 1000} s. GET with an API key, authenticated, limited, durably metered; the same upstream.`,
      `autocannon with ${loadThreads} threads, ${plan.saturationS} s after ${plan.warmUpS} s to warm up, ${connections} connections. ${context.rounds} rounds, in turn within each, the order turning; median (least to most); ratios are made within a round. CPU from the first request until the last one was on the bill and in the archive.`,
      `Keys: ${thousands(plan.keys)} of one member, made over the admin API; as many as a worker remembers verified tokens by default (10,000). Routes: ${thousands(plan.routes)}, each with an endpoint of its own in the price book. Each request takes the next key or route, over all connections; afterwards each is on the bill.`,
      `Idle: ${thousands(plan.idle)} connections more, each with a request for a missing page each ${sayEveryMs / 1000} s, because the gateway lets a connection go that is silent for 10 s: ${thousands(plan.idle / sayEveryMs * 1000)} such requests a second, whose CPU is in the figure. None was closed. Their memory is looked at in a process of its own each round, after ${thousands(plan.primeRequests)} requests and ${restMs / 1000} s of rest, and again ${plan.idleWatchMs / 1000} s after they were opened and each had an answer.`,
      'Each time the bill came to as many requests as were answered, and `tollgate verify` agreed.'
    ],
    tables: tablesOf(samples, memories, plan),
    files: [],
    samples: [...samples, ...memories]
  }
}

export const scale: Scenario = { name: 'scale', title: 'What many keys, routes, connections and a second worker cost', run }
