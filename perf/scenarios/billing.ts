// A member's month and year, and all members' totals, out of a ledger of a large API: through the ledger itself and over HTTP.
import { readFileSync, writeFileSync } from 'node:fs'
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
import type { HourlySteps, HoursPlan } from '../billing/hourly-rows.ts'
import { rssOf } from '../harness/cost.ts'
import { percentileOf } from '../harness/rounds.ts'
import { startNodeServer } from '../harness/servers.ts'
import type { BenchContext, Scenario, ScenarioResult, Table } from '../harness/scenario.ts'
import { megabytes, short, thousands } from '../harness/table.ts'
import { pricesText } from '../pipeline/workload.ts'

/** 5.76 million rows, 24 closed segments and an open one of 192,000 rows, of the 250,000 at which it would be closed. */
const fullPlan = { hours: month.hours, segmentHours: 29 }
const quickPlan = { hours: 72, segmentHours: 30 }
/** Of a day two hours: as many rows as the month has make most of a year. */
const yearStrideHours = 12
const yearDaysMax = 366
const warmUpQueries = 10
/** Of a page of all members. */
const membersOfPage = 100

type Way = 'ledger' | 'HTTP'
interface Timing { readonly question: string, readonly way: Way, readonly milliseconds: readonly number[], readonly answerBytes: number }

interface Question {
  readonly question: string
  readonly way: Way
  /** Asks about this member, or the page that begins with it, and gives the requests that the answer counts and its size. */
  readonly ask: (memberId: number) => Promise<{ readonly answer: unknown, readonly bytes: number }>
  readonly countOf: (answer: never) => number
  /** Members that the answer is about, from this one on. */
  readonly members?: number
}

/** Asks for one member after another. @throws when an answer counts anything else than the rows hold */
async function time ({ question, way, ask, countOf, members: asked = 1 }: Question, queries: number, { countByMember }: HourlySteps): Promise<Timing> {
  const random = seededRandom(7)
  const milliseconds: number[] = []
  let answerBytes = 0
  for (let query = -warmUpQueries; query < queries; query++) {
    const memberId = 1 + Math.floor(random() * (members - asked + 1))
    const startMs = performance.now()
    const { answer, bytes } = await ask(memberId)
    const tookMs = performance.now() - startMs
    const count = countOf((typeof answer === 'string' ? JSON.parse(answer) : answer) as never)
    const expected = Array.from({ length: asked }, (_, index) => countByMember.get(memberId + index) ?? 0).reduce((sum, requests) => sum + requests, 0)
    if (count !== expected) throw new Error(`${question}: member ${memberId} has ${expected} requests, the answer says ${count}`)
    if (query >= 0) milliseconds.push(tookMs)
    answerBytes = bytes
  }
  return { question, way, milliseconds, answerBytes }
}

interface ChargeAnswer { readonly result: { readonly totalCount: number } }
interface UsageAnswer { readonly total: { readonly count: number } }
interface MembersAnswer { readonly members: readonly { readonly count: number }[] }

interface Days { readonly from: string, readonly to: string }

function httpQuestions (port: number, operatorToken: string, { from, to }: Days): Record<'charge' | 'total' | 'byDay' | 'byKey' | 'members', Question> {
  const ask = (address: (memberId: number) => string) => async (memberId: number) => {
    const response = await fetch(`http://127.0.0.1:${port}/private/${address(memberId)}`, { headers: { authorization: `Bearer ${operatorToken}` } })
    const answer = await response.text()
    if (response.status !== 200) throw new Error(`${address(memberId)} was answered with ${response.status}: ${answer.slice(0, 200)}`)
    return { answer, bytes: Buffer.byteLength(answer) }
  }
  const aggregation = (end: string) => ask((memberId) => `aggregation/v1/member/${memberId}/${end}?startDate=${from}&endDate=${to}`)
  const usage = (by: UsageGrouping) => ask((memberId) => `usage/v1/members/${memberId}?from=${from}&to=${to}&by=${by}`)
  const page = ask((memberId) => `usage/v1/members?from=${from}&to=${to}&limit=${membersOfPage}${memberId > 1 ? `&after=${memberId - 1}` : ''}`)
  return {
    charge: { question: 'charge: by key, day and hour', way: 'HTTP', ask: aggregation('charge'), countOf: (answer: ChargeAnswer) => answer.result.totalCount },
    total: { question: 'charge/total', way: 'HTTP', ask: aggregation('charge/total'), countOf: (answer: ChargeAnswer) => answer.result.totalCount },
    byDay: { question: 'usage by day', way: 'HTTP', ask: usage('day'), countOf: (answer: UsageAnswer) => answer.total.count },
    byKey: { question: 'usage by key', way: 'HTTP', ask: usage('key'), countOf: (answer: UsageAnswer) => answer.total.count },
    members: { question: `${membersOfPage} members' totals`, way: 'HTTP', ask: page, members: membersOfPage, countOf: (answer: MembersAnswer) => answer.members.reduce((sum, { count }) => sum + count, 0) }
  }
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

interface Asked { readonly timings: Timing[], readonly steps: HourlySteps, readonly loadedS: number, readonly rssBytes: number, readonly configFile: string }

/** A billing thread on the plan's hours, asked over HTTP. */
async function askOverHttp (context: BenchContext, { name, plan, days, choose, queries }: { readonly name: string, readonly plan: HoursPlan, readonly days: Days, readonly choose: (all: ReturnType<typeof httpQuestions>) => readonly Question[], readonly queries: number }): Promise<Asked> {
  const files = await writeProgramFiles({ folder: path.join(context.folder, name), upstreamUrl: 'http://127.0.0.1:9', prices: pricesText() })
  writeFileSync(files.configFile, readFileSync(files.configFile, 'utf8').replace(/^billing:$/m, `billing:\n  rangeDaysMax: ${yearDaysMax}`))
  // The same rows are made here for what they must come to, and in the server's process for its ledger.
  const steps = await makeSteps(path.join(context.folder, `${name}-expected`), plan)
  context.say(`${name}: loading ${thousands(steps.rows)} hourly rows`)
  const server = await startNodeServer(path.join(import.meta.dirname, '../billing/serve-hours.ts'), [files.configFile, String(plan.hours), String(plan.segmentHours), String(plan.strideHours)])
  context.onEnd(server.stop)
  const loadedS = Number(/^loaded ([\d.]+) s$/m.exec(server.said)?.[1] ?? NaN)
  const timings: Timing[] = []
  for (const question of choose(httpQuestions(server.port, files.operatorToken, days))) {
    context.say(`${name}: ${question.question}, over HTTP`)
    timings.push(await time(question, queries, steps))
  }
  const rssBytes = rssOf(server.pid)
  await server.stop()
  return { timings, steps, loadedS, rssBytes, configFile: files.configFile }
}

function timingTable (title: string, timings: readonly Timing[]): Table {
  return {
    title,
    columns: ['question', 'through', 'p50', 'p99', 'most', 'answer KB'],
    rows: timings.map(({ question, way, milliseconds, answerBytes }) => {
      const sorted = [...milliseconds].sort((a, b) => a - b)
      return [question, way, short(percentileOf(sorted, 0.5)), short(percentileOf(sorted, 0.99)), short(percentileOf(sorted, 1)), answerBytes === 0 ? '-' : short(answerBytes / 1000)]
    }),
    notes: []
  }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const plan = context.isQuick ? quickPlan : fullPlan
  const queries = context.isQuick ? 20 : 300
  const inMonth = await askOverHttp(context, { name: 'month', plan: { ...plan, strideHours: 1 }, days: month, queries, choose: ({ charge, total, byDay, byKey, members: page }) => [charge, total, byDay, byKey, page] })
  context.say('month: through the ledger')
  const throughLedger = await askLedger(inMonth.configFile, queries, inMonth.steps)
  const lastDay = new Date((month.fromHour + (plan.hours - 1) * yearStrideHours) * 3_600_000).toISOString().slice(0, 10)
  const inYear = await askOverHttp(context, { name: 'year', plan: { ...plan, strideHours: yearStrideHours }, days: { from: month.from, to: lastDay }, queries, choose: ({ total, byDay, byKey, members: page }) => [total, byDay, byKey, page] })
  return {
    settings: [
      `${thousands(inMonth.steps.rows)} hourly rows: ${members} members, each with ${keysPerMember} keys on ${endpoints} endpoints in each of ${plan.hours} hours; ${thousands(plan.hours * keysPerMember * endpoints)} rows a member. Loaded by the product's own ledger in ${short(inMonth.loadedS)} s, ${Math.floor(plan.hours / plan.segmentHours)} closed segments and an open one; memory limit and threads as in the default configuration.`,
      `The year: as many rows, of two hours a day from ${month.from} to ${lastDay}, and \`billing.rangeDaysMax\` ${yearDaysMax}; loaded in ${short(inYear.loadedS)} s.`,
      `${queries} questions of each kind, one at a time, for members at random; every answer's count compared with the rows. HTTP: the billing thread in a process of its own, from sending the question to the answer's last byte; its process then had ${megabytes(inMonth.rssBytes)} MB resident, the maker of the rows included.`
    ],
    tables: [timingTable('A month, milliseconds', [...throughLedger, ...inMonth.timings]), timingTable('A year, milliseconds', inYear.timings)],
    files: [],
    samples: [...throughLedger, ...inMonth.timings, ...inYear.timings]
  }
}

export const billing: Scenario = { name: 'billing', title: 'A member\'s month and year out of millions of hourly rows', run }
