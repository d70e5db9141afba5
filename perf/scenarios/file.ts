// The one file as a machine meets it: how large it is, how soon a command has run and the program serves, the first time and
// later, and what it keeps in memory, beside the checkout.
import { statSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { openEchoUpstream } from '../../test/helpers/echo-upstream.ts'
import { ownTarget, packedFile } from '../../test/helpers/packed-file.ts'
import { runCommand, writeProgramFiles } from '../../test/helpers/program.ts'
import type { ProgramFiles } from '../../test/helpers/program.ts'
import { rssOf } from '../harness/cost.ts'
import { spreadOf } from '../harness/rounds.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { megabytes } from '../harness/table.ts'
import { startMeasured } from '../harness/program.ts'

const startsQuick = 1
const startsFull = 5

interface Start { readonly kind: 'checkout' | 'first' | 'later', readonly commandMs: number, /** Of one that opens the stores. */ readonly storesMs: number, readonly readyMs: number, readonly rssBytes: number }

async function elapsedMs (work: () => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await work()
  return performance.now() - from
}

/** A whole life: two commands, then the program until it serves. */
async function startOnce (context: BenchContext, files: ProgramFiles, kind: Start['kind'], nativeFolder: string): Promise<Start> {
  const env = kind === 'checkout' ? {} : { TOLLGATE_NATIVE_FOLDER: nativeFolder }
  const commandMs = async (argv: readonly string[], withConfig: boolean): Promise<number> => await elapsedMs(async () => {
    const { code, stderr } = await runCommand(files, argv, { withConfig, env })
    if (code !== 0) throw new Error(stderr)
  })
  const [version, verify] = [await commandMs(['version'], false), await commandMs(['verify'], true)]
  let rssBytes = 0
  let stop: () => Promise<unknown> = () => Promise.resolve()
  const readyMs = await elapsedMs(async () => {
    const program = await startMeasured(context, files, { env })
    rssBytes = rssOf(program.pid)
    stop = program.stop
  })
  await stop()
  return { kind, commandMs: version, storesMs: verify, readyMs, rssBytes }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  context.say('building both targets')
  const sizes = (['linux-x64', 'linux-arm64'] as const).map((target) => [target, megabytes(statSync(packedFile(target)).size)] as const)
  const upstream = await openEchoUpstream()
  context.onEnd(() => { upstream.close() })
  const starts: Start[] = []
  for (let round = 0; round < (context.isQuick ? startsQuick : startsFull); round++) {
    for (const kind of ['checkout', 'first', 'later'] as const) {
      if (kind === 'checkout') delete process.env['PACKED_PROGRAM']
      else process.env['PACKED_PROGRAM'] = packedFile(ownTarget)
      const files = await writeProgramFiles({ folder: path.join(context.folder, `${kind}-${round}`), upstreamUrl: upstream.url })
      starts.push(await startOnce(context, files, kind, path.join(context.folder, `native-${round}`)))
    }
  }
  delete process.env['PACKED_PROGRAM']
  const median = (kind: Start['kind'], of: (start: Start) => number): number => spreadOf(starts.filter((start) => start.kind === kind).map(of)).median
  const row = (title: string, kind: Start['kind']): string[] => [title, median(kind, ({ commandMs }) => commandMs).toFixed(0), median(kind, ({ storesMs }) => storesMs).toFixed(0), median(kind, ({ readyMs }) => readyMs).toFixed(0), megabytes(median(kind, ({ rssBytes }) => rssBytes))]
  return {
    settings: ['All roles in one process, an empty state each time; serves: `/readyz` answers 200. `version` loads no native part. `verify`, on a state without events, unpacks or checks all of them and opens DuckDB. A later start has them unpacked and checks them.'],
    tables: [
      { title: 'Size of the one file, MB', columns: sizes.map(([target]) => target), rows: [sizes.map(([, size]) => size)], notes: [] },
      { title: 'Start', columns: ['', 'command `version`, ms', 'command `verify`, ms', 'serves after, ms', 'memory then, MB'], rows: [row('checkout', 'checkout'), row('one file, first start', 'first'), row('one file, later', 'later')], notes: [] }
    ],
    files: [],
    samples: starts
  }
}

export const file: Scenario = { name: 'file', title: 'The one file: size, start, memory', run }
