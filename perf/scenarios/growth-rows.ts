// A member's day out of ledgers that hold more and more hours.
import path from 'node:path'
import { writeProgramFiles } from '../../test/helpers/program.ts'
import { seededRandom } from '../../test/helpers/seeded-random.ts'
import { endpoints, keysPerMember, makeSteps, members, month, rowsPerHour } from '../billing/hourly-rows.ts'
import { orderOf, percentileOf } from '../harness/rounds.ts'
import { startNodeServer } from '../harness/servers.ts'
import type { BenchContext } from '../harness/scenario.ts'
import { short, thousands } from '../harness/table.ts'
import { pricesText } from '../pipeline/workload.ts'

const dayHours = 24
const [segmentHours, strideHours] = [29, 1]
const warmUpQueries = 10

export interface RowSample { readonly rows: number, readonly round: number, readonly msP50: number, readonly msP99: number, readonly answerRows: number }

/** A day, five, and the whole month. */
export function rowSizes (isQuick: boolean): readonly { readonly hours: number, readonly rows: number }[] {
  return (isQuick ? [dayHours, 2 * dayHours] : [dayHours, 5 * dayHours, month.hours]).map((hours) => ({ hours, rows: hours * rowsPerHour }))
}

interface Ledger { readonly rows: number, readonly port: number, readonly operatorToken: string }

async function startLedgers (context: BenchContext): Promise<Ledger[]> {
  const ledgers: Ledger[] = []
  for (const { hours, rows } of rowSizes(context.isQuick)) {
    context.say(`a ledger of ${thousands(rows)} hourly rows`)
    const files = await writeProgramFiles({ folder: path.join(context.folder, `rows-${rows}`), upstreamUrl: 'http://127.0.0.1:9', prices: pricesText() })
    const server = await startNodeServer(path.join(import.meta.dirname, '../billing/serve-hours.ts'), [files.configFile, String(hours), String(segmentHours), String(strideHours)])
    context.onEnd(server.stop)
    ledgers.push({ rows, port: server.port, operatorToken: files.operatorToken })
  }
  return ledgers
}

async function askDays ({ rows, port, operatorToken }: Ledger, round: number, queries: number, countByMember: ReadonlyMap<number, number>): Promise<RowSample> {
  const random = seededRandom(11 + round)
  const milliseconds: number[] = []
  for (let query = -warmUpQueries; query < queries; query++) {
    const memberId = 1 + Math.floor(random() * members)
    const startMs = performance.now()
    const response = await fetch(`http://127.0.0.1:${port}/private/usage/v1/members/${memberId}?from=${month.from}&to=${month.from}&by=hour`, { headers: { authorization: `Bearer ${operatorToken}` } })
    const text = await response.text()
    const tookMs = performance.now() - startMs
    const { total } = JSON.parse(text) as { readonly total: { readonly count: number } }
    if (response.status !== 200 || total.count !== countByMember.get(memberId)) throw new Error(`member ${memberId} has ${countByMember.get(memberId) ?? 0} requests that day, the answer says ${total.count}`)
    if (query >= 0) milliseconds.push(tookMs)
  }
  milliseconds.sort((a, b) => a - b)
  return { rows, round, msP50: percentileOf(milliseconds, 0.5), msP99: percentileOf(milliseconds, 0.99), answerRows: dayHours * keysPerMember * endpoints }
}

export async function measureRows (context: BenchContext, queries: number): Promise<RowSample[]> {
  const ledgers = await startLedgers(context)
  // The first day's rows are the same in each.
  const { countByMember } = await makeSteps(path.join(context.folder, 'day'), { hours: dayHours, segmentHours, strideHours })
  const samples: RowSample[] = []
  for (let round = 0; round < context.rounds; round++) {
    for (const ledger of orderOf(ledgers, round)) {
      const sample = await askDays(ledger, round, queries, countByMember)
      context.say(`round ${round + 1} of ${context.rounds}, ${thousands(ledger.rows)} rows: a member's day in ${short(sample.msP50)} ms`)
      samples.push(sample)
    }
  }
  return samples
}
