// A member's month out of a ledger of a large API: through the ledger itself and over HTTP.
import path from 'node:path'
import { billingOptionsOf } from '../../src/compose/thread-options.ts'
import { loadConfig } from '../../src/config/load.ts'
import { openBillingSource } from '../../src/billing/source.ts'
import { openLedger } from '../../src/ledger/ledger.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openLogger } from '../../src/platform/logger.ts'
import { usageOf } from '../../src/billing/charge.ts'
import type { UsageGrouping } from '../../src/billing/charge.ts'
import { seededRandom } from '../../test/helpers/seeded-random.ts'
import { writeProgramFiles } from '../../test/helpers/program.ts'
import { endpoints, keysPerMember, makeSteps, members, month } from '../billing/hourly-rows.ts'
import type { HourlySteps, MonthPlan } from '../billing/hourly-rows.ts'
import { rssOf } from '../harness/cost.ts'
import { percentileOf } from '../harness/rounds.ts'
import { startNodeServer } from '../harness/servers.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { megabytes, short, thousands } from '../harness/table.ts'
import { pricesText } from '../pipeline/workload.ts'

/** 5.76 million rows, five closed segments and an open one of 760,000 rows. */
const fullPlan: MonthPlan = { hours: month.hours, segmentHours: 125 }
const quickPlan: MonthPlan = { hours: 72, segmentHours: 30 }
const warmUpQueries = 10

interface Timing { readonly question: string, readonly way: 'ledger' | 'HTTP', readonly milliseconds: readonly number[], readonly answerBytes: number }

interface Question {
  readonly question: string
  readonly way: Timing['way']
  /** Asks, and gives the requests that the answer counts and its size. */
  readonly ask: (memberId: number) => Promise<{ readonly answer: unknown, readonly bytes: number }>
  readonly countOf: (answer: never) => number
}

/** Asks for one member after another. @throws when an answer counts anything else than the rows hold */
async function time ({ question, way, ask, countOf }: Question, queries: number, steps: HourlySteps): Promise<Timing> {
  const random = seededRandom(7)
  const milliseconds: number[] = []
  let answerBytes = 0
  for (let query = -warmUpQueries; query < queries; query++) {
    const memberId = 1 + Math.floor(random() * members)
    const startMs = performance.now()
    const { answer, bytes } = await ask(memberId)
    const tookMs = performance.now() - startMs
    const count = countOf((typeof answer === 'string' ? JSON.parse(answer) : answer) as never)
    if (count !== steps.countByMember.get(memberId)) throw new Error(`${question}: member ${memberId} has ${steps.countByMember.get(memberId) ?? 0} requests, the answer says ${count}`)
    if (query >= 0) milliseconds.push(tookMs)
    answerBytes = bytes
  }
  return { question, way, milliseconds, answerBytes }
}

interface ChargeAnswer { readonly result: { readonly totalCount: number } }
interface UsageAnswer { readonly total: { readonly count: number } }

function httpQuestions (port: number, operatorToken: string): Question[] {
  const ask = (address: (memberId: number) => string) => async (memberId: number) => {
    const response = await fetch(`http://127.0.0.1:${port}/private/${address(memberId)}`, { headers: { authorization: `Bearer ${operatorToken}` } })
    const answer = await response.text()
    if (response.status !== 200) throw new Error(`${address(memberId)} was answered with ${response.status}: ${answer.slice(0, 200)}`)
    return { answer, bytes: Buffer.byteLength(answer) }
  }
  const aggregation = (end: string) => ask((memberId) => `aggregation/v1/member/${memberId}/${end}?startDate=${month.from}&endDate=${month.to}`)
  const usage = (by: UsageGrouping) => ask((memberId) => `usage/v1/members/${memberId}?from=${month.from}&to=${month.to}&by=${by}`)
  return [
    { question: 'charge: by key, day and hour', way: 'HTTP', ask: aggregation('charge'), countOf: (answer: ChargeAnswer) => answer.result.totalCount },
    { question: 'charge/total', way: 'HTTP', ask: aggregation('charge/total'), countOf: (answer: ChargeAnswer) => answer.result.totalCount },
    { question: 'usage by day', way: 'HTTP', ask: usage('day'), countOf: (answer: UsageAnswer) => answer.total.count },
    { question: 'usage by key', way: 'HTTP', ask: usage('key'), countOf: (answer: UsageAnswer) => answer.total.count }
  ]
}

async function askLedger (configFile: string, queries: number, steps: HourlySteps): Promise<Timing[]> {
  const { config, priceBook } = loadConfig({ file: configFile })
  const ledger = await openLedger({ ...billingOptionsOf(config, priceBook).ledger, log: openLogger({ level: 'warn', thread: 'bench' }) })
  const range = { fromHour: month.fromHour, toHour: month.fromHour + month.hours }
  const source = openBillingSource(ledger, () => priceBook, systemClock)
  const counted = (memberId: number, grain: 'hour' | 'day') => source.counted({ memberId, grain, ...range })
  try {
    return [
      await time({
        question: 'the month\'s rows', way: 'ledger', ask: async (memberId) => ({ answer: (await counted(memberId, 'hour')).rows, bytes: 0 }),
        countOf: (answer: Awaited<ReturnType<typeof counted>>['rows']) => answer.reduce((sum, row) => sum + row.count, 0)
      }, queries, steps),
      await time({
        question: 'usage by day and usage by key', way: 'ledger', countOf: (answer: UsageAnswer) => answer.total.count,
        ask: async (memberId) => {
          const days = await counted(memberId, 'day')
          usageOf(days, range, 'day', priceBook)
          return { answer: usageOf(days, range, 'key', priceBook), bytes: 0 }
        }
      }, queries, steps)
    ]
  } finally {
    await ledger.close()
  }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const plan = context.isQuick ? quickPlan : fullPlan
  const queries = context.isQuick ? 20 : 300
  const files = await writeProgramFiles({ folder: path.join(context.folder, 'billing'), upstreamUrl: 'http://127.0.0.1:9', prices: pricesText() })
  // The same rows are made here for what they must come to, and in the server's process for its ledger.
  const steps = await makeSteps(path.join(context.folder, 'expected'), plan)
  context.say(`loading ${thousands(steps.rows)} hourly rows`)
  const server = await startNodeServer(path.join(import.meta.dirname, '../billing/serve-month.ts'), [files.configFile, String(plan.hours), String(plan.segmentHours)])
  context.onEnd(server.stop)
  const loadedS = Number(/^loaded ([\d.]+) s$/m.exec(server.said)?.[1] ?? NaN)
  const timings: Timing[] = []
  for (const question of httpQuestions(server.port, files.operatorToken)) {
    context.say(`${question.question}, over HTTP`)
    timings.push(await time(question, queries, steps))
  }
  const rssBytes = rssOf(server.pid)
  await server.stop()
  context.say('through the ledger')
  timings.unshift(...await askLedger(files.configFile, queries, steps))
  return {
    settings: [
      `${thousands(steps.rows)} hourly rows: ${members} members, each with ${keysPerMember} keys on ${endpoints} endpoints in each of ${plan.hours} hours; ${thousands(plan.hours * keysPerMember * endpoints)} rows a member. Loaded by the product's own ledger in ${short(loadedS)} s, ${Math.floor(plan.hours / plan.segmentHours)} closed segments and an open one; memory limit and threads as in the default configuration.`,
      `${queries} questions of each kind, one at a time, for members at random; every answer's count compared with the rows. HTTP: the billing thread in a process of its own, from sending the question to the answer's last byte; its process then had ${megabytes(rssBytes)} MB resident, the maker of the rows included.`
    ],
    tables: [{
      title: 'A member\'s month, milliseconds',
      columns: ['question', 'through', 'p50', 'p99', 'most', 'answer KB'],
      rows: timings.map(({ question, way, milliseconds, answerBytes }) => {
        const sorted = [...milliseconds].sort((a, b) => a - b)
        return [question, way, short(percentileOf(sorted, 0.5)), short(percentileOf(sorted, 0.99)), short(percentileOf(sorted, 1)), answerBytes === 0 ? '-' : short(answerBytes / 1000)]
      }),
      notes: []
    }],
    files: [],
    samples: timings
  }
}

export const billing: Scenario = { name: 'billing', title: 'A member\'s month out of millions of hourly rows', run }
