// A real Elasticsearch 8.19 for tests and the demo: the server that its own makers test plugins with, on loopback. It has
// templates, mappings, bulk, search and aggregations, and neither ingest processors, ILM, data streams nor security. Or a
// real OpenSearch 3.6, which has ingest processors too, with a database of places of 2019.
//
//   const elasticsearch = await startElasticsearch(t)     ends with the test; 20 to 60 s to start, 800 MB
//   await startElasticsearch(t, { server: 'opensearch' })
//   await elasticsearch.ask('PUT', '/_index_template/x', { … })   the answer's JSON; throws for any status but 2xx
//   await elasticsearch.kill(), start()                   what it has acknowledged is there again
//
// The first use ever fetches it. Java (17, OpenSearch 21), Maven, unzip and util-linux (setpriv, flock) are needed.
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chmodSync, closeSync, cpSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { eventually } from '../helpers/eventually.ts'
import { freePorts } from '../helpers/free-ports.ts'
import { searchServerHome, searchServers } from './elasticsearch/files.ts'
import type { SearchServer } from './elasticsearch/files.ts'
import { javaFor } from './elasticsearch/java.ts'
import type { Java } from './elasticsearch/java.ts'

export interface ElasticsearchSetup {
  /** Left out: elasticsearch. */
  readonly server?: SearchServer
  /** This port and the next are taken; left out: any that are free. */
  readonly port?: number
  /** Left out: a temporary one, removed at the end. */
  readonly folder?: string
}

export interface RunningElasticsearch {
  readonly port: number
  readonly url: string
  /** Of the Java that it runs on. */
  readonly javaVersion: number
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
  const { server = 'elasticsearch' } = setup
  const { name, javaMin } = searchServers[server]
  const home = await searchServerHome(server)
  const java = javaFor(name, javaMin)
  const folder = setup.folder ?? mkdtempSync(path.join(tmpdir(), `tollgate-${server}-`))
  const ports = setup.port === undefined ? await freePorts(2) : [setup.port, setup.port + 1]
  const [port = 0, transportPort = 0] = ports
  writeSettings(home, folder, { server, port, transportPort })
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
    const started = spawn('setpriv', [...otherUser(), '--pdeathsig', 'KILL', path.join(home, 'bin', server)], { stdio: ['ignore', log, log], cwd: folder, detached: true, env: environment(folder, server, java) })
    closeSync(log)
    child = started
    const outcome = await eventually(`${name} answers on ${port}`, async () => {
      if (started.exitCode !== null || started.signalCode !== null) return 'ended'
      return (await ask<{ readonly status: string }>('GET', '/_cluster/health')).status === 'red' ? undefined : 'serves'
    }, { withinMs: startMsMax, everyMs: 250 })
    if (outcome === 'ended') throw new Error(`${name} ended: ${readFileSync(logFile, 'utf8').slice(-4_000)}`)
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
  return { port, url, javaVersion: java.version, ask, start, kill, close }
}

/** It refuses to run as root. */
function otherUser (): readonly string[] { return process.getuid?.() === 0 ? ['--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups'] : [] }

function writeSettings (home: string, folder: string, { server, port, transportPort }: { readonly server: SearchServer, readonly port: number, readonly transportPort: number }): void {
  mkdirSync(folder, { recursive: true })
  chmodSync(folder, 0o755)
  for (const name of ['config', 'data', 'logs', 'tmp']) mkdirSync(path.join(folder, name), { recursive: true })
  cpSync(path.join(home, 'config'), path.join(folder, 'config'), { recursive: true })
  writeFileSync(path.join(folder, `config/${server}.yml`), `cluster.name: test
node.name: test
network.host: 127.0.0.1
http.port: ${port}
transport.port: ${transportPort}
discovery.type: single-node
path.data: ${path.join(folder, 'data')}
path.logs: ${path.join(folder, 'logs')}
${server === 'elasticsearch' ? 'xpack.security.enabled: false\n' : ''}# A machine that runs tests may be nearly full.
cluster.routing.allocation.disk.threshold_enabled: false
`)
  // OpenSearch's Java writes its own log beside the server's files, where it may not.
  const javaOptions = path.join(folder, 'config/jvm.options')
  writeFileSync(javaOptions, readFileSync(javaOptions, 'utf8').replaceAll(/(?<=[=:])(?=(?:logs|data)(?:\/|$))/gm, `${folder}/`))
  if (process.getuid?.() === 0) execFileSync('chown', ['-R', 'nobody:nogroup', ...['config', 'data', 'logs', 'tmp'].map((name) => path.join(folder, name))])
}

function environment (folder: string, server: SearchServer, java: Java): NodeJS.ProcessEnv {
  const options = `-Xms${heapMiB}m -Xmx${heapMiB}m -XX:-UseG1GC -XX:+UseSerialGC -XX:TieredStopAtLevel=1`
  const prefix = server === 'elasticsearch' ? 'ES' : 'OPENSEARCH'
  const own = { JAVA_HOME: java.home, JAVA_OPTS: options, PATH_CONF: path.join(folder, 'config'), TMPDIR: path.join(folder, 'tmp') }
  return { PATH: process.env['PATH'], HOME: path.join(folder, 'tmp'), ...Object.fromEntries(Object.entries(own).map(([key, value]) => [`${prefix}_${key}`, value])) }
}
