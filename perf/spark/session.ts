// Spark for a scenario: PySpark and its Kafka source, fetched once, and a session of it in a process tree of its own.
import { spawn } from 'node:child_process'
import type { ChildProcessByStdio } from 'node:child_process'
import { mkdirSync, openSync, readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { pipTool } from '../../test/services/pip-tool.ts'
import { buildOnce } from '../harness/build.ts'
import type { BenchContext } from '../harness/scenario.ts'
import { stopProcess } from '../harness/servers.ts'

const requirements = path.join(import.meta.dirname, 'requirements.txt')
export const jobFile = path.join(import.meta.dirname, 'job.py')
const logShown = 3_000

export interface Spark {
  /** Folder of the programs of its virtual environment. */
  readonly programs: string
  /** Of what its Kafka source needs beside PySpark's own. */
  readonly jars: string
}

export async function fetchSpark (context: BenchContext): Promise<Spark> {
  const programs = await pipTool('pyspark', requirements)
  const built = await buildOnce({
    name: 'spark-kafka', sources: path.join(import.meta.dirname, 'kafka'), script: 'mvn -B -ntp -f "$2/pom.xml" dependency:copy-dependencies -DoutputDirectory="$1/jars" -DincludeScope=runtime', needs: 'Maven and flock are'
  }, context.say)
  return { programs, jars: path.join(built, 'jars') }
}

/** Settings of a session; what isn't here is Spark's default. Two parts a shuffle where its default is 200: the counts are small. */
export function sessionSettings (jars: string, folder: string): Readonly<Record<string, string>> {
  return {
    'spark.master': `local[${os.availableParallelism()}]`,
    'spark.driver.memory': '2g',
    'spark.driver.extraClassPath': path.join(jars, '*'),
    'spark.local.dir': path.join(folder, 'local'),
    'spark.sql.warehouse.dir': path.join(folder, 'warehouse'),
    'spark.sql.shuffle.partitions': '2',
    'spark.sql.session.timeZone': 'UTC',
    'spark.sql.parquet.compression.codec': 'zstd',
    'spark.ui.enabled': 'false',
    'spark.ui.showConsoleProgress': 'false'
  }
}

export type JobSettings =
  | { readonly mode: 'batch', readonly files: string }
  | { readonly mode: 'streaming', readonly brokers: string, readonly topic: string, readonly batchEvents: number }

/** What one run of the job writes to; `topic` gets a stream's hourly counts. */
export interface JobRun { readonly folder: string, readonly topic?: string }

export interface SparkSession {
  readonly pid: number
  /** Resolves when the job has run to its end. */
  readonly run: (run: JobRun) => Promise<void>
  readonly stop: () => Promise<void>
}

/** Resolves when the session is ready for its first job. @throws with the end of its log when it has ended instead */
export async function startSession (context: BenchContext, { programs, jars }: Spark, folder: string, job: JobSettings): Promise<SparkSession> {
  mkdirSync(folder, { recursive: true })
  const logFile = path.join(folder, 'spark.log')
  const log = openSync(logFile, 'w')
  const settings = JSON.stringify({ ...job, spark: sessionSettings(jars, folder) })
  // Its name is that of this machine otherwise, which need not lead to it.
  const env = { ...process.env, SPARK_LOCAL_IP: '127.0.0.1', SPARK_LOCAL_HOSTNAME: 'localhost' }
  const child = spawn(path.join(programs, 'python3'), [jobFile, settings], { cwd: folder, env, stdio: ['pipe', 'pipe', log] }) as ChildProcessByStdio<Writable, Readable, null>
  context.onEnd(() => stopProcess(child))
  const ended = new Promise<never>((_resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => { reject(new Error(`Spark ended with ${signal ?? code ?? '?'}:\n${readFileSync(logFile, 'utf8').slice(-logShown)}`)) })
  })
  // It ends by itself when it is told to.
  ended.catch(() => undefined)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const awaitLine = async (wanted: string): Promise<void> => {
    for (;;) {
      const { value, done } = await Promise.race([lines.next(), ended])
      if (value === wanted) return
      if (done === true) await ended
    }
  }
  await awaitLine('ready')
  const { pid } = child
  if (pid === undefined) throw new Error('Spark could not be started')
  return {
    pid,
    run: async (run) => {
      child.stdin.write(`${JSON.stringify(run)}\n`)
      await awaitLine('done')
    },
    stop: async () => {
      const exited = new Promise((resolve) => { child.once('exit', resolve) })
      child.stdin.end()
      await exited
    }
  }
}
