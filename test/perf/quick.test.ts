// The benchmark as a smoke: every scenario that needs no cluster runs once, shortly, and must be right. It ends with 0 only when
// every answer was right and every bill came to the answers; how fast it was is nobody's business here.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import path from 'node:path'
import process from 'node:process'
import { after, describe, test } from 'node:test'

const bench = path.resolve(import.meta.dirname, '../../bin/bench')
const embedded = ['gateway', 'file', 'scale', 'bodies', 'journal', 'rates', 'freshness', 'stages', 'growth', 'billing', 'pipeline', 'memory']
/** They wait more than they work: three at a time on two cores. */
const atOnce = 3
const withinMs = 20 * 60_000

interface Run { readonly code: number, readonly stdout: string, readonly stderr: string }

function runBench (argv: readonly string[], signal?: AbortSignal): Promise<Run> {
  return new Promise((resolve) => {
    execFile(bench, argv, { env: { ...process.env, NODE_TEST_CONTEXT: undefined }, signal, killSignal: 'SIGTERM', maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr })
    })
  })
}

/** Rows of the tables in what the benchmark printed of one scenario. */
function tableRows (stdout: string, scenario: string): number[] {
  const part = stdout.split(/^(?=[a-z-]+: )/m).find((text) => text.startsWith(`${scenario}: `)) ?? ''
  return [...part.matchAll(/^ {2}-+(?: {2}-+)*\n((?: {2}\S.*\n)*)/gm)].map(([, rows = '']) => rows.split('\n').length - 1)
}

test('every scenario that runs where none is named is tried here', async () => {
  const { stdout } = await runBench(['--help'])
  const [listed = ''] = stdout.split('All of these where none is named')
  assert.deepEqual([...listed.matchAll(/^ {2}([a-z-]+) {2,}\S/gm)].map(([, name]) => name).sort(), [...embedded].sort())
})

describe('bin/bench --quick', { concurrency: atOnce, timeout: withinMs }, () => {
  const ending = new AbortController()
  after(() => { ending.abort() })
  for (const scenario of embedded) {
    test(scenario, async () => {
      const { code, stdout, stderr } = await runBench([scenario, '--quick', '--memory-seconds', '5'], ending.signal)
      assert.equal(code, 0, `${stderr}${stdout}`)
      const rows = tableRows(stdout, scenario)
      assert.ok(rows.length > 0 && rows.every((count) => count > 0), stdout)
    })
  }
})
