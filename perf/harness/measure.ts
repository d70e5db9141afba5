// One measurement: a load on a contestant, its CPU until its books agree with what clients saw, and only then its rate.
import type { Contestant } from '../contestants/contestant.ts'
import type { LoadOutcome } from '../load/saturate.ts'
import { costBetween, costOf } from './cost.ts'

export interface Sample {
  readonly contestant: string
  readonly generator: 'autocannon' | 'wrk' | 'fixed rate'
  readonly connections: number
  readonly round: number
  readonly requests: number
  readonly ratePerS: number
  /** Of the contestant's process and its children, from the first request until all of them were settled. */
  readonly cpuUsPerRequest: number
  readonly cpuUsPerRequestByThread: Readonly<Record<string, number>>
  readonly upstreamCpuUsPerRequest: number
  readonly latencyMsP50: number
  readonly latencyMsP99: number
  readonly rssBytes: number
}

export interface Measurement {
  readonly contestant: Contestant
  readonly upstreamPid: number
  readonly generator: Sample['generator']
  readonly connections: number
  readonly round: number
  /** Whether the generator leaves requests unanswered at its end, at most one a connection. */
  readonly isCutAtEnd: boolean
  readonly load: () => Promise<LoadOutcome>
}

export async function measure ({ contestant, upstreamPid, generator, connections, round, isCutAtEnd, load }: Measurement): Promise<Sample> {
  const before = costOf(contestant.pid)
  const upstreamBefore = costOf(upstreamPid)
  const outcome = await load()
  await contestant.settle({ complete: outcome.requests, cutMax: isCutAtEnd ? connections : 0 })
  const after = costOf(contestant.pid)
  const cost = costBetween(before, after)
  const usPerRequest = (cpuMs: number): number => cpuMs * 1000 / outcome.requests
  return {
    contestant: contestant.name,
    generator,
    connections,
    round,
    requests: outcome.requests,
    ratePerS: outcome.requests / outcome.seconds,
    cpuUsPerRequest: usPerRequest(cost.cpuMs),
    cpuUsPerRequestByThread: Object.fromEntries(Object.entries(cost.cpuMsByThread).map(([name, cpuMs]) => [name, usPerRequest(cpuMs)])),
    upstreamCpuUsPerRequest: usPerRequest(costBetween(upstreamBefore, costOf(upstreamPid)).cpuMs),
    latencyMsP50: outcome.latencyMsP50,
    latencyMsP99: outcome.latencyMsP99,
    rssBytes: after.rssBytes
  }
}

/** Threads of Tollgate that work after the answer: counting, archive, ledger, and where their DuckDB runs; in a cluster what takes events to Kafka. */
const laterThreads = new Set(['aggregator', 'billing', 'libuv-worker', 'shipper'])

/** CPU a request without what happens after the answer. */
export function answeringCpuUs (sample: Pick<Sample, 'cpuUsPerRequest' | 'cpuUsPerRequestByThread'>): number {
  return Object.entries(sample.cpuUsPerRequestByThread).reduce((left, [thread, us]) => laterThreads.has(thread) ? left - us : left, sample.cpuUsPerRequest)
}
