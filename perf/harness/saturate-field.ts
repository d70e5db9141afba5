// Contestants under as much load as they answer: warmed up, then in turn within each round, by autocannon and by wrk.
import type { Contestant } from '../contestants/contestant.ts'
import { saturate } from '../load/saturate.ts'
import { runWrk } from '../load/wrk.ts'
import { firstLineOf } from './machine.ts'
import { measure } from './measure.ts'
import type { Sample } from './measure.ts'
import { orderOf } from './rounds.ts'
import type { BenchContext } from './scenario.ts'
import { short } from './table.ts'

const primeConnections = 64

export interface FieldPlan {
  /** Before anything is measured: enough for the compilers to have settled. */
  readonly primeRequests: (contestant: Pick<Contestant, 'name'>) => number
  readonly connectionCounts: readonly number[]
  readonly warmUpS: number
  readonly saturationS: number
  readonly wrkS: number
}

export interface Field {
  readonly contestants: readonly Contestant[]
  readonly upstream: { readonly pid: number }
}

interface Turn { readonly contestant: Contestant, readonly connections: number, readonly round: number, readonly withWrk: boolean }

/** Samples of one contestant at one number of connections: warm-up, autocannon, wrk. */
async function saturateOnce (upstreamPid: number, { contestant, connections, round, withWrk }: Turn, plan: FieldPlan): Promise<Sample[]> {
  const common = { contestant, upstreamPid, connections, round }
  const probe = await saturate(contestant, { connections, requests: Math.max(500, connections * 4) })
  const ratePerS = probe.requests / probe.seconds
  const warmUp = await saturate(contestant, { connections, requests: ratePerS * plan.warmUpS })
  await contestant.settle({ complete: probe.requests + warmUp.requests, cutMax: 0 })
  const requests = warmUp.requests / warmUp.seconds * plan.saturationS
  const samples = [await measure({ ...common, generator: 'autocannon', isCutAtEnd: false, load: () => saturate(contestant, { connections, requests }) })]
  if (withWrk) samples.push(await measure({ ...common, generator: 'wrk', isCutAtEnd: true, load: () => runWrk(contestant, { connections, seconds: plan.wrkS }) }))
  return samples
}

export async function saturateField (context: BenchContext, field: Field, plan: FieldPlan): Promise<Sample[]> {
  const withWrk = firstLineOf('wrk', ['-v']) !== undefined
  if (!withWrk) context.say('wrk is not installed (apt-get install wrk): no second opinion')
  for (const contestant of field.contestants) {
    context.say(`warming up ${contestant.name}`)
    const prime = await saturate(contestant, { connections: primeConnections, requests: plan.primeRequests(contestant) })
    await contestant.settle({ complete: prime.requests, cutMax: 0 })
  }
  const samples: Sample[] = []
  for (const connections of plan.connectionCounts) {
    for (let round = 0; round < context.rounds; round++) {
      for (const contestant of orderOf(field.contestants, round)) {
        const found = await saturateOnce(field.upstream.pid, { contestant, connections, round, withWrk }, plan)
        for (const sample of found) context.say(`${connections} connections, round ${round + 1} of ${context.rounds}, ${sample.generator}, ${contestant.name}: ${short(sample.cpuUsPerRequest)} us, ${short(sample.ratePerS)} requests/s`)
        samples.push(...found)
      }
    }
  }
  return samples
}
