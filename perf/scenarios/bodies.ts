// Bodies through Tollgate and through nginx: throughput, CPU and memory, small and large, both ways.
import path from 'node:path'
import type { Contestant } from '../contestants/contestant.ts'
import { nginxConfiguration, startNginx } from '../contestants/nginx.ts'
import { startTollgate } from '../contestants/tollgate.ts'
import { costBetween, costOf, rssOf } from '../harness/cost.ts'
import { orderOf, spreadOf } from '../harness/rounds.ts'
import { startNodeServer } from '../harness/servers.ts'
import type { BenchContext, Scenario, ScenarioResult, Table } from '../harness/scenario.ts'
import { megabytes, short, spreadText, thousands } from '../harness/table.ts'
import { runBodies } from '../load/bodies.ts'
import type { BodiesLoad, BodiesOutcome } from '../load/bodies.ts'

const names = { nginx: 'nginx', tollgate: 'Tollgate' } as const
const directions = ['down', 'up'] as const
const lookEveryMs = 100
/** Everything streams and nothing goes to a file: nginx's defaults would write a large body to disk first. */
const nginxExtra = 'client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0;'
const prices = 'currency: KRW\ngroups:\n  - { id: 1, name: bodies, prices: [{ cost: "3" }] }\nendpoints:\n  - { id: 1, group: 1, method: GET, path: "/api/down/{bytes}" }\n  - { id: 2, group: 1, method: POST, path: "/api/up/{bytes}" }\n'
/** On one machine the client is as fast as memory, and the kernel may hold 32 MiB for each connection. */
const bodiesAhead = '512MiB'
const routes = '\n    - { id: api, path: "/api/**", upstream: main, requestBytesMax: 200MiB }'

interface Size { readonly name: string, readonly bodyBytes: number, readonly connections: number }
interface Plan { readonly sizes: readonly Size[], readonly warmUpS: number, readonly seconds: number, readonly archiveFlushMs: number }
const small: readonly Size[] = [{ name: '1 KB', bodyBytes: 1_000, connections: 64 }, { name: '100 KB', bodyBytes: 100_000, connections: 16 }]
const fullPlan: Plan = { sizes: [...small, { name: '100 MB', bodyBytes: 100_000_000, connections: 4 }], warmUpS: 1, seconds: 6, archiveFlushMs: 4_000 }
const quickPlan: Plan = { sizes: [...small, { name: '10 MB', bodyBytes: 10_000_000, connections: 4 }], warmUpS: 0.2, seconds: 0.7, archiveFlushMs: 1_000 }

interface Sample {
  readonly contestant: string
  readonly direction: typeof directions[number]
  readonly size: string
  readonly round: number
  readonly requests: number
  readonly bytesPerS: number
  readonly cpuMsPerMegabyte: number
  readonly rssBeforeBytes: number
  readonly rssMostBytes: number
}

/** Looks at memory until `work` is done. */
async function watching<Result> (pid: number, work: Promise<Result>): Promise<{ readonly result: Result, readonly mostBytes: number }> {
  let mostBytes = rssOf(pid)
  const timer = setInterval(() => { mostBytes = Math.max(mostBytes, rssOf(pid)) }, lookEveryMs)
  try {
    return { result: await work, mostBytes }
  } finally {
    clearInterval(timer)
  }
}

async function measureOnce (contestant: Contestant, direction: Sample['direction'], size: Size, round: number, plan: Plan): Promise<Sample> {
  const { pid, port, headers, name } = contestant
  const load = (transfers: number): Promise<BodiesOutcome> => {
    const { bodyBytes, connections } = size
    return runBodies({ port, headers, direction, bodyBytes, connections, transfers: Math.max(connections, Math.round(transfers)) } satisfies BodiesLoad)
  }
  const probe = await load(size.connections * 2)
  const warmUp = await load(probe.requests / probe.seconds * plan.warmUpS)
  await contestant.settle({ complete: probe.requests + warmUp.requests, cutMax: 0 })
  const [before, rssBeforeBytes] = [costOf(pid), rssOf(pid)]
  const { result: { requests, seconds }, mostBytes } = await watching(pid, load(warmUp.requests / warmUp.seconds * plan.seconds))
  const { cpuMs } = costBetween(before, costOf(pid))
  await contestant.settle({ complete: requests, cutMax: 0 })
  const bytes = requests * size.bodyBytes
  return { contestant: name, direction, size: size.name, round, requests, bytesPerS: bytes / seconds, cpuMsPerMegabyte: cpuMs / (bytes / 1e6), rssBeforeBytes, rssMostBytes: mostBytes }
}

async function startContestants (context: BenchContext, plan: Plan): Promise<{ readonly contestants: readonly Contestant[], readonly verify: () => Promise<void> }> {
  const upstream = await startNodeServer(path.join(import.meta.dirname, '../contestants/body-server.ts'), [])
  context.onEnd(upstream.stop)
  const nginx = await startNginx(path.join(context.folder, 'nginx'), upstream.port, nginxExtra)
  context.onEnd(nginx.stop)
  const tollgate = await startTollgate(context, { folder: path.join(context.folder, 'tollgate'), upstreamPort: upstream.port, archiveFlushMs: plan.archiveFlushMs, prices, routes, env: { TOLLGATE_GATEWAY__BODIES_AHEAD_BYTES_MAX: bodiesAhead } })
  const common = { path: '', headers: { 'x-api-key': tollgate.token } }
  return {
    contestants: [
      { name: names.nginx, port: nginx.port, pid: nginx.pid, settle: async () => {}, ...common },
      { name: names.tollgate, port: tollgate.files.ports.gateway, pid: tollgate.pid, settle: tollgate.settleBilled, ...common }
    ],
    verify: tollgate.verify
  }
}

async function measureAll (context: BenchContext, contestants: readonly Contestant[], plan: Plan): Promise<Sample[]> {
  const samples: Sample[] = []
  for (const size of plan.sizes) {
    for (const direction of directions) {
      for (let round = 0; round < context.rounds; round++) {
        for (const contestant of orderOf(contestants, round)) {
          const sample = await measureOnce(contestant, direction, size, round, plan)
          context.say(`${size.name} ${direction}, round ${round + 1} of ${context.rounds}, ${contestant.name}: ${megabytes(sample.bytesPerS)} MB/s, ${short(sample.cpuMsPerMegabyte)} ms CPU a MB, ${megabytes(sample.rssMostBytes)} MB`)
          samples.push(sample)
        }
      }
    }
  }
  return samples
}

function tableOf (samples: readonly Sample[], plan: Plan): Table {
  const rows = plan.sizes.flatMap((size) => directions.map((direction) => {
    const of = (name: string): Sample[] => samples.filter((sample) => sample.contestant === name && sample.size === size.name && sample.direction === direction)
    const [nginx, own] = [of(names.nginx), of(names.tollgate)]
    const spread = (found: readonly Sample[], value: (sample: Sample) => number): string => spreadText(spreadOf(found.map(value)))
    const ratio = (value: (sample: Sample) => number): string => spread(own, (sample) => value(sample) / value(nginx.find(({ round }) => round === sample.round) ?? sample))
    const [bytesPerS, cpu] = [({ bytesPerS }: Sample) => bytesPerS / 1e6, ({ cpuMsPerMegabyte }: Sample) => cpuMsPerMegabyte]
    const most = (found: readonly Sample[]): number => Math.max(...found.map(({ rssMostBytes }) => rssMostBytes))
    return [
      `${size.name} ${direction}`, String(size.connections), spread(nginx, bytesPerS), spread(own, bytesPerS), ratio(bytesPerS), spread(nginx, cpu), spread(own, cpu),
      megabytes(most(nginx)), megabytes(spreadOf(own.map(({ rssBeforeBytes }) => rssBeforeBytes)).median), megabytes(most(own))
    ]
  }))
  return {
    title: 'Bodies through nginx and through Tollgate',
    columns: ['body', 'at a time', 'nginx: MB/s', 'Tollgate: MB/s', 'x nginx', 'nginx: CPU ms a MB', 'Tollgate: CPU ms a MB', 'nginx: most MB', 'Tollgate: MB before', 'most MB'],
    rows,
    notes: ['down: the answer\'s body; up: the request\'s. MB: a million bytes. Most: resident memory while the bodies went through.']
  }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const plan = context.isQuick ? quickPlan : fullPlan
  const { contestants, verify } = await startContestants(context, plan)
  const samples = await measureAll(context, contestants, plan)
  await verify()
  const transfers = samples.filter(({ contestant }) => contestant === names.tollgate).reduce((sum, { requests }) => sum + requests, 0)
  return {
    settings: [
      'Upstream: uWebSockets.js in a process of its own; load: node:net in a thread of its own, over kept connections, the next body as soon as the last one is through. Every byte is compared with a pattern that both know, of an answer by the client, of a request by the upstream; nginx: one worker, a bare proxy that streams both ways, configuration below.',
      `Tollgate: all roles in one process, default configuration with grades that never refuse, requests of up to 200 MiB and room for ${bodiesAhead} of bodies that come faster than the upstream takes them; authenticated, limited, durably metered. Its CPU is that of the whole process while bodies came. The bill came to as many requests as were answered (${thousands(transfers)} measured), and \`tollgate verify\` agreed.`,
      `${plan.seconds} s each after ${plan.warmUpS} s to warm up; ${context.rounds} rounds, in turn within each, the order turning; median (least to most), ratios within a round. Load, upstream and contestant share the machine.`
    ],
    tables: [tableOf(samples, plan)],
    files: [{ name: 'nginx.conf', text: nginxConfiguration('GATEWAY', 'UPSTREAM', nginxExtra) }],
    samples
  }
}

export const bodies: Scenario = { name: 'bodies', title: 'Throughput of small and large bodies beside nginx', run }
