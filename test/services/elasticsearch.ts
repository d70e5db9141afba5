// A real Elasticsearch 8.19 for tests and the demo: the server that its own makers test plugins with, on loopback. It has
// templates, mappings, bulk, search and aggregations, and neither ingest processors, ILM, data streams nor security.
//
//   const elasticsearch = await startElasticsearch(t)     ends with the test; 20 to 60 s to start, 800 MB
//   await elasticsearch.ask('PUT', '/_index_template/x', { … })   the answer's JSON; throws for any status but 2xx
//   await elasticsearch.kill(), start()                   what it has acknowledged is there again
//
// The first use ever fetches it. Java 17 or 21, Maven, unzip and util-linux (setpriv, flock) are needed.
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chmodSync, closeSync, cpSync, mkdirSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { eventually } from '../helpers/eventually.ts'
import { freePorts } from '../helpers/free-ports.ts'
import { elasticsearchHome } from './elasticsearch/files.ts'

export interface ElasticsearchSetup {
  /** This port and the next are taken; left out: any that are free. */
  readonly port?: number
  /** Left out: a temporary one, removed at the end. */
  readonly folder?: string
}

export interface RunningElasticsearch {
  readonly port: number
  readonly url: string
  /** @param body an object becomes JSON, a text stays NDJSON. @throws Error for an answer that is no success */
  readonly ask: <Answer>(method: string, path: string, body?: unknown) => Promise<Answer>
  readonly start: () => Promise<void>
  readonly kill: () => Promise<void>
  readonly close: () => Promise<void>
}

const startMsMax = 180_000
const heapMiB = 512

/** @param t left out: call `close` at the end */
export async function startElasticsearch (t?: { readonly after: (end: () => Promise<void>) => void }, setup: ElasticsearchSetup = {}): Promise<RunningElasticsearch> {
  const home = await elasticsearchHome()
  const folder = setup.folder ?? mkdtempSync(path.join(tmpdir(), 'tollgate-elasticsearch-'))
  const ports = setup.port === undefined ? await freePorts(2) : [setup.port, setup.port + 1]
  const [port = 0, transportPort = 0] = ports
  writeSettings(home, folder, { port, transportPort })
  const logFile = path.join(folder, 'server.log')
  let child: ChildProcess | undefined
  const url = `http://127.0.0.1:${port}`
  const kill = async (): Promise<void> => {
    const ending = child
    child = undefined
    if (ending?.pid === undefined || ending.exitCode !== null || ending.signalCode !== null) return
    const ended = new Promise((resolve) => { ending.once('close', resolve) })
    // A launcher and the server: both are of one process group.
    process.kill(-ending.pid, 'SIGKILL')
    await ended
  }
  const ask: RunningElasticsearch['ask'] = async <Answer>(method: string, where: string, body?: unknown): Promise<Answer> => {
    const isText = typeof body === 'string'
    const response = await fetch(url + where, {
      method, ...(body === undefined ? {} : { body: isText ? body : JSON.stringify(body), headers: { 'content-type': isText ? 'application/x-ndjson' : 'application/json' } }), signal: AbortSignal.timeout(60_000)
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${where}: ${response.status} ${text.slice(0, 2_000)}`)
    return (text === '' ? undefined : JSON.parse(text)) as Answer
  }
  const start = async (): Promise<void> => {
    const log = openSync(logFile, 'a')
    const started = spawn('setpriv', [...otherUser(), '--pdeathsig', 'KILL', path.join(home, 'bin/elasticsearch')], { stdio: ['ignore', log, log], cwd: folder, detached: true, env: environment(folder) })
    closeSync(log)
    child = started
    const outcome = await eventually(`Elasticsearch answers on ${port}`, async () => {
      if (started.exitCode !== null || started.signalCode !== null) return 'ended'
      return (await ask<{ readonly status: string }>('GET', '/_cluster/health')).status === 'red' ? undefined : 'serves'
    }, { withinMs: startMsMax, everyMs: 250 })
    if (outcome === 'ended') throw new Error(`Elasticsearch ended: ${readFileSync(logFile, 'utf8').slice(-4_000)}`)
  }
  const close = async (): Promise<void> => {
    await kill()
    if (setup.folder === undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  t?.after(close)
  try {
    await start()
  } catch (error) {
    await close()
    throw error
  }
  return { port, url, ask, start, kill, close }
}

/** It refuses to run as root. */
function otherUser (): readonly string[] { return process.getuid?.() === 0 ? ['--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups'] : [] }

function writeSettings (home: string, folder: string, { port, transportPort }: { readonly port: number, readonly transportPort: number }): void {
  mkdirSync(folder, { recursive: true })
  chmodSync(folder, 0o755)
  for (const name of ['config', 'data', 'logs', 'tmp']) mkdirSync(path.join(folder, name), { recursive: true })
  cpSync(path.join(home, 'config'), path.join(folder, 'config'), { recursive: true })
  writeFileSync(path.join(folder, 'config/elasticsearch.yml'), `cluster.name: test
node.name: test
network.host: 127.0.0.1
http.port: ${port}
transport.port: ${transportPort}
discovery.type: single-node
path.data: ${path.join(folder, 'data')}
path.logs: ${path.join(folder, 'logs')}
xpack.security.enabled: false
# A machine that runs tests may be nearly full.
cluster.routing.allocation.disk.threshold_enabled: false
`)
  if (process.getuid?.() === 0) execFileSync('chown', ['-R', 'nobody:nogroup', ...['config', 'data', 'logs', 'tmp'].map((name) => path.join(folder, name))])
}

function environment (folder: string): NodeJS.ProcessEnv {
  const java = realpathSync(execFileSync('which', ['java'], { encoding: 'utf8' }).trim())
  const options = `-Xms${heapMiB}m -Xmx${heapMiB}m -XX:-UseG1GC -XX:+UseSerialGC -XX:TieredStopAtLevel=1`
  return { PATH: process.env['PATH'], HOME: path.join(folder, 'tmp'), ES_JAVA_HOME: path.dirname(path.dirname(java)), ES_JAVA_OPTS: options, ES_PATH_CONF: path.join(folder, 'config'), ES_TMPDIR: path.join(folder, 'tmp') }
}
