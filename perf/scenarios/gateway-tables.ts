// The gateway scenario's samples as tables. Ratios are made within a round and only then summed up.
import { names } from '../contestants/line-up.ts'
import { answeringCpuUs } from '../harness/measure.ts'
import type { Sample } from '../harness/measure.ts'
import { spreadOf } from '../harness/rounds.ts'
import type { Table } from '../harness/scenario.ts'
import { megabytes, short, spreadText } from '../harness/table.ts'

/** Whom a saturation table shows, and beside whom. */
export interface Standing {
  readonly names: readonly string[]
  readonly references: readonly { readonly column: string, readonly name: string }[]
  /** Gets a second row, without what works after the answer. */
  readonly splitName: string
}

export function pick (samples: readonly Sample[], contestant: string, connections: number, generator: Sample['generator']): Sample[] {
  return samples.filter((sample) => sample.contestant === contestant && sample.connections === connections && sample.generator === generator)
}

const connectionsOf = (samples: readonly Sample[]): number[] => [...new Set(samples.map((sample) => sample.connections))]

type Value = (sample: Sample) => number
const cpuUs: Value = (sample) => sample.cpuUsPerRequest

/** `value(sample)` over the others' CPU of the same round, summed up. */
export function ratioText (own: readonly Sample[], others: readonly Sample[], value: Value = cpuUs): string {
  const ratios = own.flatMap((sample) => others.filter((other) => other.round === sample.round).map((other) => value(sample) / other.cpuUsPerRequest))
  return ratios.length === 0 ? '-' : spreadText(spreadOf(ratios))
}

export function saturationTable (samples: readonly Sample[], standing: Standing): Table {
  const rows: string[][] = []
  for (const connections of connectionsOf(samples)) {
    const cpuCells = (own: readonly Sample[], generator: Sample['generator'], value: Value): string[] =>
      [own.length === 0 ? '-' : spreadText(spreadOf(own.map(value))), ...standing.references.map(({ name }) => ratioText(own, pick(samples, name, connections, generator), value))]
    const median = (found: readonly Sample[], value: Value): string => found.length === 0 ? '-' : short(spreadOf(found.map(value)).median)
    for (const name of standing.names) {
      const own = pick(samples, name, connections, 'autocannon')
      const byWrk = pick(samples, name, connections, 'wrk')
      if (own.length === 0) continue
      rows.push([
        name, String(connections), ...cpuCells(own, 'autocannon', cpuUs), median(own, (sample) => sample.ratePerS),
        ...cpuCells(byWrk, 'wrk', cpuUs), median(byWrk, (sample) => sample.ratePerS), median(byWrk, (sample) => sample.latencyMsP50), median(byWrk, (sample) => sample.latencyMsP99),
        megabytes(Math.max(...own.map((sample) => sample.rssBytes)))
      ])
      if (name === standing.splitName) rows.push(['... of it gateway and journal', String(connections), ...cpuCells(own, 'autocannon', answeringCpuUs), '', ...cpuCells(byWrk, 'wrk', answeringCpuUs), '', '', '', ''])
    }
  }
  const references = standing.references.map(({ column }) => column)
  return {
    title: 'Saturation',
    columns: ['contestant', 'connections', 'CPU us a request', ...references, 'requests/s', 'wrk: CPU us', ...references, 'requests/s', 'p50 ms', 'p99 ms', 'RSS MB'],
    rows,
    notes: []
  }
}

export function latencyTable (samples: readonly Sample[], ratePerS: number): Table {
  const rows = Object.values(names).map((name) => ({ name, own: samples.filter((sample) => sample.contestant === name) })).filter(({ own }) => own.length > 0)
    .map(({ name, own }) => [
      name, spreadText(spreadOf(own.map((sample) => sample.latencyMsP50))), spreadText(spreadOf(own.map((sample) => sample.latencyMsP99))),
      spreadText(spreadOf(own.map((sample) => sample.cpuUsPerRequest)))
    ])
  return { title: `Latency at ${ratePerS} requests/s`, columns: ['contestant', 'p50 ms', 'p99 ms', 'CPU us a request'], rows, notes: [] }
}

/** What durable metering adds to the same gateway without it, in percent of that, round by round: until the answer, and in all. */
export function shareTable (samples: readonly Sample[]): Table {
  const rows = connectionsOf(samples).flatMap((connections) => (['autocannon', 'wrk'] as const).flatMap((generator) => {
    const without = pick(samples, names.unmetered, connections, generator)
    const own = pick(samples, names.metered, connections, generator)
    if (own.length === 0) return []
    const cells = (value: Value): string[] => {
      const pairs = own.flatMap((sample) => without.filter((other) => other.round === sample.round).map((other) => [value(sample), value(other)] as const))
      return [spreadText(spreadOf(pairs.map(([metered, bare]) => metered - bare))), `${spreadText(spreadOf(pairs.map(([metered, bare]) => (metered / bare - 1) * 100)))} %`]
    }
    return [[String(connections), generator, ...cells(answeringCpuUs), ...cells(cpuUs)]]
  }))
  return {
    title: 'What durable metering adds to the same gateway without it',
    columns: ['connections', 'load', 'until durable, us', 'of the gateway', 'with counting, archive and billing, us', 'of the gateway'],
    rows,
    notes: []
  }
}

/** Where the metered gateway's CPU goes. */
export function threadTable (samples: readonly Sample[]): Table {
  const counts = connectionsOf(samples)
  const own = counts.map((connections) => pick(samples, names.metered, connections, 'autocannon'))
  const medianOf = (found: readonly Sample[], thread: string): number => found.length === 0 ? 0 : spreadOf(found.map((sample) => sample.cpuUsPerRequestByThread[thread] ?? 0)).median
  const threads = [...new Set(own.flat().flatMap((sample) => Object.keys(sample.cpuUsPerRequestByThread)))]
    .map((thread) => ({ thread, us: own.map((found) => medianOf(found, thread)) })).sort((a, b) => (b.us[0] ?? 0) - (a.us[0] ?? 0))
  return {
    title: 'The metered gateway\'s CPU by thread, us a request',
    columns: ['thread', ...counts.map((connections) => `${connections} connections`)],
    rows: threads.map(({ thread, us }) => [thread, ...us.map((value) => value.toFixed(2))]),
    notes: ['V8Worker: compiling and collecting garbage for all threads. libuv-worker: the DuckDB of aggregator and ledger. billing: the ledger, and the HTTP answers that compare the bill.']
  }
}
