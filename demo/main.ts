// The demo: a sample API, Tollgate in front of it with all roles in one process, three members with a key of each grade,
// real traffic, their bills, and the proof that every answer was counted once.
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { billTable, fetchTotals } from './bills.ts'
import type { Customer } from './bills.ts'
import { startCluster } from './cluster.ts'
import { createCustomers, startTollgate, writeConfiguration } from './program.ts'
import type { DemoElastic } from './elastic.ts'
import type { DemoProgram } from './program.ts'
import { meaningOf, table, thousands } from './report.ts'
import { Counts, drive } from './traffic.ts'

const usage = `Usage: bin/demo [--cluster [--with-elastic]] [--requests N [--exit]] [--port P] [--state FOLDER]
       bin/demo --clean

Starts a sample API and Tollgate in front of it (all roles, one process), creates
three members with a key of each grade, sends real traffic at 90 % of each
grade's rate and one burst above it, prints the bills, proves them, and stays up.

  --cluster       instead of one process: Kafka, Redis, two gateways, two aggregators
                  and two billing servers, all on this machine, made anew each time
                  (needs Java 17, Maven and redis-server; 50 ports from P on)
  --with-elastic  with --cluster: rsyslog brings every request into an Elasticsearch, and the
                  answers to the dashboards' questions are printed (needs rsyslog, 1 GB)

  --requests N    instead: raised limits, and exactly N complete answers as the
                  client counts them (20,000 take about half a minute)
  --exit          ends after the proof; the last lines are answered, billed, verify
  --port P        gateway on P, billing on P+1 and P+2, the sample API on P+3,
                  health and metrics on P+4 (default 8080)
  --state FOLDER  where everything is kept (default .tollgate/demo in the checkout)
  --clean         removes that folder and ends
`

const root = path.resolve(import.meta.dirname, '..')
const say = (text: string): void => { process.stdout.write(`${text}\n`) }

interface Options { readonly isCluster: boolean, readonly isElastic: boolean, readonly requests: number | undefined, readonly isExit: boolean, readonly port: number, readonly folder: string }

function readOptions (): Options {
  const { values } = parseArgs({ options: { cluster: { type: 'boolean' }, 'with-elastic': { type: 'boolean' }, requests: { type: 'string' }, exit: { type: 'boolean' }, port: { type: 'string' }, state: { type: 'string' }, clean: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } })
  const isCluster = values.cluster === true
  const folder = path.resolve(values.state ?? path.join(root, '.tollgate', isCluster ? 'demo-cluster' : 'demo'))
  if (values.help === true) { process.stdout.write(usage); process.exit(0) }
  if (values.clean === true) {
    const folders = values.state === undefined ? [folder, path.join(root, '.tollgate', 'demo-cluster')] : [folder]
    for (const each of folders) rmSync(each, { recursive: true, force: true })
    say(`removed ${folders.join(' and ')}`)
    process.exit(0)
  }
  const whole = (name: string, text: string, min: number, max: number): number => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < min || value > max) throw new Error(`--${name} takes a whole number from ${min} to ${max}, not "${text}"`)
    return value
  }
  const isElastic = values['with-elastic'] === true
  if (isElastic && !isCluster) throw new Error('--with-elastic needs --cluster')
  return {
    isCluster,
    isElastic,
    requests: values.requests === undefined ? undefined : whole('requests', values.requests, 100, 100_000_000),
    isExit: values.exit === true,
    port: whole('port', values.port ?? '8080', 1, isCluster ? 65_480 : 65_531),
    folder
  }
}

/** One line that is rewritten each second on a terminal, and printed every five seconds elsewhere. */
function showLive (live: Counts, billed: () => Promise<number>): () => void {
  const isTerminal = process.stdout.isTTY
  const timer = setInterval(() => {
    void billed().catch(() => 0).then((count) => {
      const text = `  ${thousands(live.answered)} answered, ${thousands(count)} on the bills so far`
      if (isTerminal) process.stdout.write(`\r${text}   `)
      else say(text)
    })
  }, isTerminal ? 1_000 : 5_000)
  return () => { clearInterval(timer); if (isTerminal) process.stdout.write('\n') }
}

/** A number of requests, not a time: at the end of a time some would be cut, and whether they were answered nobody could say. */
const pace = (ratePerS: number, durationS: number): { readonly ratePerS: number, readonly amount: number } => ({ ratePerS: Math.floor(ratePerS), amount: Math.floor(ratePerS) * durationS })

/** Callers are dealt out among the gateways. */
const gatewayOf = (program: DemoProgram, index: number): string => program.urls.gateways[index % program.urls.gateways.length] as string

async function sendPaced (program: DemoProgram, customers: readonly Customer[], live: Counts): Promise<Counts> {
  const counts = new Counts()
  say('Traffic: 20 seconds at 90 % of each grade\'s rate, one in 50 to an endpoint that fails')
  const paced = customers.map((customer, index) => drive({ url: gatewayOf(program, index), caller: customer, connections: 8, ...pace(customer.ratePerS * 0.9, 20), brokenEach: 50 }, live))
  for (const part of await Promise.all(paced)) counts.add(part)
  say('Burst: 5 seconds at five times each grade\'s rate')
  const burst = customers.map((customer, index) => drive({ url: gatewayOf(program, index), caller: customer, connections: 16, ...pace(customer.ratePerS * 5, 5), brokenEach: 0 }, live))
  for (const part of await Promise.all(burst)) counts.add(part)
  return counts
}

async function sendExactly (requests: number, program: DemoProgram, customers: readonly Customer[], live: Counts): Promise<Counts> {
  const counts = new Counts()
  const callers = [...customers, { name: 'nobody', token: undefined }]
  say(`Traffic: ${thousands(requests)} requests as fast as they are answered, one in 50 without a key, one in 50 to an endpoint that fails`)
  // What a dropped connection left unanswered is asked again, until exactly so many answers have arrived whole.
  for (let round = 0; counts.answered < requests; round++) {
    if (round === 10) throw new Error(`only ${counts.answered} of ${requests} requests were answered in ten rounds`)
    const missing = requests - counts.answered
    const keyless = round === 0 ? Math.floor(missing / 50) : 0
    const each = Math.floor((missing - keyless) / customers.length)
    const amounts = callers.map((_, index) => index === 0 ? missing - keyless - each * (customers.length - 1) : index < customers.length ? each : keyless)
    const parts = callers.map((caller, index) => ({ caller, amount: amounts[index] ?? 0 })).filter(({ amount }) => amount > 0)
      .map(({ caller, amount }, index) => drive({ url: gatewayOf(program, index + round), caller, connections: Math.min(16, amount), amount, brokenEach: caller.token === undefined ? 0 : 50 }, live))
    for (const part of await Promise.all(parts)) counts.add(part)
  }
  return counts
}

function statusTable (counts: Counts): string {
  const rows = [...counts.byStatus].sort(([a], [b]) => a - b).map(([status, count]) => [String(status), thousands(count), meaningOf(status).text])
  return table(['status', 'answers', 'meaning'], rows)
}

async function main (): Promise<number> {
  const options = readOptions()
  say(`State: ${options.folder} (bin/demo --clean removes it)`)
  const upstream = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', path.join(root, 'demo/upstream.ts'), String(options.port + 3)], { stdio: ['ignore', 'ignore', 'inherit'] })
  const isUnlimited = options.requests !== undefined
  let program: DemoProgram | undefined
  try {
    program = options.isCluster
      ? await startCluster({ ...options, isUnlimited, say })
      : await startTollgate(writeConfiguration({ folder: options.folder, port: options.port, isUnlimited }))
    return await present(options, program)
  } finally {
    upstream.kill('SIGTERM')
    await program?.stop()
  }
}

async function present (options: Options, program: DemoProgram): Promise<number> {
  say(`Tollgate is ready: gateway ${program.urls.gateways.join(' and ')}, billing ${program.urls.billing}`)
  const customers = await createCustomers(program)
  say(table(['member', 'key', 'grade', 'tokens/s'], customers.map((customer) => [customer.name, String(customer.apiKeyId), customer.grade, thousands(customer.ratePerS)])))
  const before = await fetchTotals(program, customers)
  const live = new Counts()
  const hideLive = showLive(live, async () => (await fetchTotals(program, customers)) - before)
  const counts = options.requests === undefined ? await sendPaced(program, customers, live) : await sendExactly(options.requests, program, customers, live)
  hideLive()
  say('\nProof: tollgate verify --wait 60')
  const proof = await program.command(['verify', '--wait', '60'])
  say(proof.stdout.trimEnd() + proof.stderr.trimEnd())
  say('\nBills (whole won)')
  say(await billTable(program, customers))
  say('\nAnswers as the client saw them')
  say(statusTable(counts))
  const billed = await fetchTotals(program, customers) - before
  const notBilled = [...counts.byStatus].filter(([status]) => !meaningOf(status).isBilled).reduce((sum, [, count]) => sum + count, 0)
  say(`\n${thousands(counts.answered)} answered - ${thousands(notBilled)} not billed = ${thousands(counts.answered - notBilled)} expected on the bills${counts.unanswered > 0 ? `; ${counts.unanswered} requests got no whole answer` : ''}`)
  const documents = program.elastic === undefined ? counts.answered : await showPanels(program.elastic, counts)
  const isRight = proof.code === 0 && documents >= counts.answered && documents <= counts.answered + counts.unanswered && billed === counts.answered - notBilled
  if (!options.isExit) await stayUp(program, customers)
  say(`answered ${counts.answered}`)
  say(`billed ${billed}`)
  say(`verify ${proof.code === 0 ? 'ok' : `failed (exit ${proof.code})`}`)
  return isRight ? 0 : 1
}

/** One document for each answer that the client has seen, and what the dashboards make of them. */
async function showPanels (elastic: DemoElastic, { answered }: Counts): Promise<number> {
  say(`\nElasticsearch at ${elastic.url}: a document a request`)
  const documents = await elastic.awaitDocuments(answered)
  say(`${thousands(answered)} answered, ${thousands(documents)} documents\n\nWhat the dashboards show`)
  say(await elastic.panels())
  return documents
}

async function stayUp (program: DemoProgram, customers: readonly Customer[]): Promise<void> {
  const [first] = customers
  say(`\nUp until Ctrl-C. Try:
  curl -i -X POST -H 'X-API-KEY: ${first?.token ?? ''}' ${program.urls.gateways[0] ?? ''}/api/v1/location/start
  curl -s -H 'Authorization: Bearer ${first?.memberToken ?? ''}' '${program.urls.billing}/api/aggregation/v1/member/${first?.memberId ?? ''}/charge?startDate=${program.today()}&endDate=${program.today()}'
  ${program.commandLine(['bill', '--member', String(first?.memberId ?? ''), '--from', program.today(), '--to', program.today()])}
  ${program.commandLine(['verify'])}
  health ${program.urls.operator}/readyz   metrics ${program.urls.operator}/metrics   OpenAPI ${program.urls.billing}/openapi.json\n`)
  await new Promise<void>((resolve) => { process.once('SIGINT', () => { resolve() }); process.once('SIGTERM', () => { resolve() }) })
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`)
  return 1
})
