// Runs groups of tests and says what ran: `node test/run.ts [GROUP…]`, or one long form: `node test/run.ts --long=NAME`. Ends with `N passed, N failed, N skipped`, and
// fails when a group ran fewer tests than it is known to have: a test that silently doesn't run proves nothing.
import { globSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { run } from 'node:test'

interface Group {
  readonly name: string
  readonly pattern: string
  /** Fewer tests than this mean that something didn't load. */
  readonly testsMin: number
  /** Files at a time: one where a test needs the machine to itself. */
  readonly concurrency: number
  readonly fileTimeoutMs: number
}

const minute = 60_000
const hour = 60 * minute

/** One file each, told by TOLLGATE_LONG to do much more than in the short run. */
const longForms: readonly Group[] = [
  { name: 'crash', pattern: 'test/crash/embedded.test.ts', testsMin: 1, concurrency: 1, fileTimeoutMs: 12 * hour },
  // Two files: TOLLGATE_FUZZ_S seconds each, else 35 and 60 minutes.
  { name: 'fuzz', pattern: 'test/edge/*-fuzz.test.ts', testsMin: 5, concurrency: 1, fileTimeoutMs: 24 * hour },
  { name: 'edge', pattern: 'test/edge/load.test.ts', testsMin: 4, concurrency: 1, fileTimeoutMs: hour },
  { name: 'soak', pattern: 'test/crash/cluster.test.ts', testsMin: 1, concurrency: 1, fileTimeoutMs: 48 * hour },
  { name: 'cluster', pattern: 'test/hosts/cluster.test.ts', testsMin: 1, concurrency: 1, fileTimeoutMs: 3 * hour },
  { name: 'elastic', pattern: 'test/elastic/*.test.ts', testsMin: 2, concurrency: 1, fileTimeoutMs: hour },
  { name: 'arm64', pattern: 'test/file/arm64.test.ts', testsMin: 4, concurrency: 1, fileTimeoutMs: hour }
]

const groups: readonly Group[] = [
  { name: 'tidy', pattern: 'test/tidy.test.ts', testsMin: 8, concurrency: 1, fileTimeoutMs: minute },
  { name: 'unit', pattern: 'test/unit/**/*.test.ts', testsMin: 400, concurrency: 2, fileTimeoutMs: minute },
  { name: 'golden', pattern: 'test/golden/**/*.test.ts', testsMin: 15, concurrency: 2, fileTimeoutMs: minute },
  { name: 'property', pattern: 'test/property/**/*.test.ts', testsMin: 85, concurrency: 2, fileTimeoutMs: 3 * minute },
  { name: 'simulation', pattern: 'test/simulation/**/*.test.ts', testsMin: 81, concurrency: 2, fileTimeoutMs: 4 * minute },
  { name: 'contract', pattern: 'test/contract/**/*.test.ts', testsMin: 114, concurrency: 2, fileTimeoutMs: 2 * minute },
  { name: 'integration', pattern: 'test/integration/**/*.test.ts', testsMin: 355, concurrency: 2, fileTimeoutMs: 4 * minute },
  { name: 'edge', pattern: 'test/edge/**/*.test.ts', testsMin: 47, concurrency: 1, fileTimeoutMs: 4 * minute },
  { name: 'crash', pattern: 'test/crash/**/*.test.ts', testsMin: 2, concurrency: 1, fileTimeoutMs: 30 * minute },
  { name: 'monitoring', pattern: 'test/monitoring/**/*.test.ts', testsMin: 17, concurrency: 1, fileTimeoutMs: 7 * minute },
  { name: 'e2e', pattern: 'test/e2e/**/*.test.ts', testsMin: 1, concurrency: 1, fileTimeoutMs: 5 * minute },
  { name: 'file', pattern: 'test/file/**/*.test.ts', testsMin: 18, concurrency: 1, fileTimeoutMs: 15 * minute },
  // Behind `file`, whose builds it uses.
  { name: 'perf', pattern: 'test/perf/**/*.test.ts', testsMin: 13, concurrency: 1, fileTimeoutMs: 25 * minute },
  { name: 'hosts', pattern: 'test/hosts/{lint,templates}.test.ts', testsMin: 8, concurrency: 1, fileTimeoutMs: 10 * minute },
  { name: 'deploy', pattern: 'test/hosts/cluster.test.ts', testsMin: 7, concurrency: 1, fileTimeoutMs: 30 * minute }
]

const root = path.resolve(import.meta.dirname, '..')

interface Outcome { passed: number, failed: number, skipped: number }

async function runGroup (group: Group): Promise<Outcome> {
  const files = globSync(group.pattern, { cwd: root }).map((file) => path.join(root, file)).sort()
  const outcome: Outcome = { passed: 0, failed: 0, skipped: 0 }
  const startedMs = process.hrtime.bigint()
  const stream = run({ files, concurrency: group.concurrency, timeout: group.fileTimeoutMs, execArgv: ['--disable-warning=ExperimentalWarning'] })
  const failures: string[] = []
  stream.on('test:fail', (event) => {
    const isFile = event.nesting === 0 && path.isAbsolute(event.name)
    if (event.todo === undefined) failures.push(`${isFile ? path.relative(root, event.name) : `${path.relative(root, event.file ?? '')}: ${event.name}`}\n${describe(event.details.error)}`)
    // At once: what is left of it goes with the long form's end.
    if (long !== undefined) process.stdout.write(`${describe(event.details.error)}\n`)
  })
  const printOutput = (event: { readonly message: string }): void => { if (process.env['TOLLGATE_TEST_OUTPUT'] === '1') process.stdout.write(event.message) }
  stream.on('test:stdout', printOutput)
  stream.on('test:stderr', printOutput)
  // Hours without a word help nobody.
  const printStep = (mark: string) => (event: { readonly nesting: number, readonly name: string, readonly details: { readonly duration_ms: number } }): void => {
    if (long !== undefined && event.nesting <= 1 && !path.isAbsolute(event.name)) process.stdout.write(`    ${mark} ${event.name} (${(event.details.duration_ms / 1000).toFixed(0)} s)\n`)
  }
  stream.on('test:pass', printStep('ok'))
  stream.on('test:fail', printStep('FAILED'))
  stream.on('test:diagnostic', (event) => { if ((event.nesting === 0 || long !== undefined) && event.message.startsWith('note:')) process.stdout.write(`    ${event.message.slice(5).trim()}\n`) })
  stream.on('test:summary', (event) => {
    if (event.file !== undefined) return
    outcome.passed = event.counts.passed
    outcome.failed = event.counts.tests - event.counts.passed - event.counts.skipped - event.counts.todo
    outcome.skipped = event.counts.skipped + event.counts.todo
  })
  for await (const _event of stream) { /* the listeners above do the work; reading keeps the stream flowing */ }
  const seconds = Number((process.hrtime.bigint() - startedMs) / 1_000_000n) / 1000
  if (outcome.passed + outcome.failed < group.testsMin) {
    outcome.failed++
    failures.push(`group ${group.name}: only ${outcome.passed + outcome.failed - 1} tests ran, at least ${group.testsMin} are expected`)
  }
  process.stdout.write(`${group.name.padEnd(12)} ${String(files.length).padStart(3)} files  ${String(outcome.passed).padStart(4)} passed  ${outcome.failed} failed  ${outcome.skipped} skipped  ${seconds.toFixed(1)} s\n`)
  for (const failure of failures) process.stdout.write(`\nFAILED ${failure}\n`)
  return outcome
}

function describe (error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const text = cause instanceof Error ? cause.stack ?? cause.message : String((cause as { cause?: unknown } | undefined)?.cause ?? cause)
  return text.split('\n').slice(0, 40).map((line) => `    ${line}`).join('\n')
}

const long = process.argv[2]?.startsWith('--long=') === true ? process.argv[2].slice('--long='.length) : undefined
if (long !== undefined) {
  process.env['TOLLGATE_LONG'] = long
  process.env['TOLLGATE_TEST_OUTPUT'] ??= '1'
}
const all = long === undefined ? groups : longForms
const wanted = long === undefined ? process.argv.slice(2) : [long]
const unknown = wanted.filter((name) => !all.some((group) => group.name === name))
if (unknown.length > 0) {
  process.stderr.write(`no such group: ${unknown.join(', ')}; there are ${all.map((group) => group.name).join(', ')}\n`)
  process.exit(2)
}
const total: Outcome = { passed: 0, failed: 0, skipped: 0 }
for (const group of all) {
  if (wanted.length > 0 && !wanted.includes(group.name)) continue
  const outcome = await runGroup(group)
  total.passed += outcome.passed
  total.failed += outcome.failed
  total.skipped += outcome.skipped
}
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`)
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1)
