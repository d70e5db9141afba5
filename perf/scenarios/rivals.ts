// What a durably metered request costs, beside the gateways that people would put in its place.
import { javaNames, rivalNames, startRivals } from '../contestants/rivals.ts'
import type { RivalLineUp } from '../contestants/rivals.ts'
import { costOf } from '../harness/cost.ts'
import { answeringCpuUs } from '../harness/measure.ts'
import type { Sample } from '../harness/measure.ts'
import { saturateField } from '../harness/saturate-field.ts'
import type { FieldPlan } from '../harness/saturate-field.ts'
import type { BenchContext, Scenario, ScenarioResult, Table } from '../harness/scenario.ts'
import { short, thousands } from '../harness/table.ts'
import { loadThreads } from '../load/saturate.ts'
import { pick, ratioText, saturationTable } from './gateway-tables.ts'
import type { Standing } from './gateway-tables.ts'

const connections = 64
const primed = (requests: number, javaRequests: number): FieldPlan['primeRequests'] => ({ name }) => javaNames.includes(name) ? javaRequests : requests
const fullPlan: FieldPlan = { primeRequests: primed(40_000, 150_000), connectionCounts: [connections], warmUpS: 1, saturationS: 6, wrkS: 5 }
const quickPlan: FieldPlan = { primeRequests: primed(2_000, 4_000), connectionCounts: [connections], warmUpS: 0.3, saturationS: 1, wrkS: 1 }

const standing: Standing = {
  names: Object.values(rivalNames),
  references: [{ column: 'x nginx', name: rivalNames.nginx }, { column: 'x Caddy', name: rivalNames.caddy }],
  splitName: rivalNames.metered
}

/** What Tollgate's CPU may be of theirs. */
const goals: readonly (readonly [name: string, goal: string])[] = [
  [rivalNames.nginx, '2'], [rivalNames.fastify, '1/3 = 0.33'], [rivalNames.caddy, '1/3 = 0.33'], [rivalNames.spring, '-'], [rivalNames.meteredSpring, '1/8 = 0.125']
]

function goalTable (samples: readonly Sample[]): Table {
  const rows = goals.map(([name, goal]) => [name, ...(['autocannon', 'wrk'] as const).flatMap((generator) => {
    const own = pick(samples, rivalNames.metered, connections, generator)
    const others = pick(samples, name, connections, generator)
    return [ratioText(own, others, answeringCpuUs), ratioText(own, others)]
  }), goal])
  return {
    title: 'Tollgate\'s CPU a request, durably metered, over each rival\'s',
    columns: ['over', 'autocannon: gateway and journal', 'all of it', 'wrk: gateway and journal', 'wrk: all of it', 'goal, at most'],
    rows,
    notes: ['Bare proxies check no key, limit nothing and record nothing. What Spring Cloud Gateway sent is in Kafka at most: nothing has counted, archived or billed it, and its answers didn\'t wait for it.']
  }
}

/** What became of each request's event: of Tollgate's this is asserted, of the other's it is told. */
function eventTable ({ meteredSpring: { books } }: RivalLineUp, redisCpuUs: number): Table {
  const { complete, cut, events } = books
  const verdict = events < complete ? `${thousands(complete - events)} missing` : events > complete + cut ? `${thousands(events - complete - cut)} too many` : 'none missing'
  return {
    title: 'Spring Cloud Gateway\'s events, the warm-up\'s included',
    columns: ['complete answers', 'cut at the end of a load', 'events in Kafka', 'of complete answers', 'CPU in Redis, us a request'],
    rows: [[thousands(complete), `${cut === 0 ? '' : 'up to '}${thousands(cut)}`, thousands(events), verdict, short(redisCpuUs)]],
    notes: ['Nothing was killed and nothing was full here. An event of an answer that was cut may be there or not. Tollgate: each complete answer was on the bill before the next load, or this page would not be here.']
  }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const plan = context.isQuick ? quickPlan : fullPlan
  const lineUp = await startRivals(context)
  const { redisPid, books } = lineUp.meteredSpring
  const redisBeforeMs = costOf(redisPid).cpuMs
  const samples = await saturateField(context, lineUp, plan)
  const redisCpuUs = (costOf(redisPid).cpuMs - redisBeforeMs) * 1000 / books.complete
  context.say('tollgate verify')
  await lineUp.verify()
  return {
    settings: [
      ...lineUp.settings,
      `${context.rounds} rounds, contestants in turn within each, the order turning, ${connections} connections; before all of them ${thousands(plan.primeRequests({ name: rivalNames.metered }))} requests to each, to those on Java ${thousands(plan.primeRequests({ name: rivalNames.spring }))}, and a warm-up of ${plan.warmUpS} s before each measurement. Shown: median (least to most); ratios are taken within a round.`,
      `Saturation: autocannon with ${loadThreads} threads, ${plan.saturationS} s; wrk with ${loadThreads} threads, ${plan.wrkS} s. Load, upstream and contestant share the machine, so rates are of this machine and CPU a request is what can be compared. Every answer of every contestant was 200, under autocannon's load with the right body (wrk looks at the status alone).`
    ],
    tables: [saturationTable(samples, standing), goalTable(samples), eventTable(lineUp, redisCpuUs)],
    files: lineUp.files,
    samples
  }
}

export const rivals: Scenario = { name: 'rivals', title: 'A durably metered request beside nginx, fastify, Caddy and Spring Cloud Gateway', isNamedOnly: true, run }
