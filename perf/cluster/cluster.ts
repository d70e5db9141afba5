// A cluster of real processes for a scenario: each one's CPU and memory is its role's.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { randomBytes } from 'node:crypto'
import { makeCluster } from '../../test/helpers/cluster.ts'
import type { Cluster, ClusterNode, ClusterSetup } from '../../test/helpers/cluster.ts'
import type { BenchContext } from '../harness/scenario.ts'
import { runToEnd } from '../harness/servers.ts'
import { pricesText } from '../pipeline/workload.ts'
import { benchKafka } from './services.ts'

/** Nobody listens there: for scenarios whose events come out of a journal. */
const noUpstream = 'http://127.0.0.1:9'
const logLinesShown = 5
const readyMsMax = 180_000

export interface BenchClusterSetup extends Pick<ClusterSetup, 'partitions'>, Partial<Pick<ClusterSetup, 'gateways' | 'aggregators' | 'extra' | 'redis'>> {
  readonly name: string
  readonly upstreamPort?: number
}

export interface BenchCluster extends Cluster {
  readonly gateway: ClusterNode
  readonly aggregator: ClusterNode
  readonly billing: ClusterNode
  readonly topicPrefix: string
}

/** Files, and topics of its own; starts nothing. One of each role unless more are asked for. */
export async function makeBenchCluster (context: BenchContext, { name, upstreamPort, ...setup }: BenchClusterSetup): Promise<BenchCluster> {
  const topicPrefix = `${name}-${randomBytes(3).toString('hex')}-`
  const cluster = await makeCluster({
    redis: undefined, gateways: 1, aggregators: 1, billings: 1, ...setup,
    folder: path.join(context.folder, name),
    kafka: await benchKafka(context),
    topicPrefix,
    upstreamUrl: upstreamPort === undefined ? noUpstream : `http://127.0.0.1:${upstreamPort}`
  })
  for (const { folder } of cluster.nodes) writeFileSync(path.join(folder, 'prices.yaml'), pricesText())
  const [[gateway], [aggregator], [billing]] = [cluster.gateways, cluster.aggregators, cluster.billings]
  if (gateway === undefined || aggregator === undefined || billing === undefined) throw new Error('a cluster has one of each role at least')
  return { ...cluster, gateway, aggregator, billing, topicPrefix }
}

export interface StartedNode {
  readonly pid: number
  /** Rejects when the process has ended, with the end of its log; to be raced with whatever is waited for. */
  readonly diedEarly: Promise<never>
}

/** Killed at the scenario's end if it still runs. */
export async function startNode (context: BenchContext, node: ClusterNode, { isReadyAwaited = true } = {}): Promise<StartedNode> {
  await node.start({ isReadyAwaited: false })
  context.onEnd(() => node.kill())
  const { program } = node
  const pid = program?.process.pid
  if (program === undefined || pid === undefined) throw new Error(`${node.name} could not be started`)
  const diedEarly = program.ended.then((code) => { throw new Error(`${node.name} ended with ${code}:\n${logEnd(node)}`) })
  // Nobody may be racing when a process that is no longer needed ends.
  diedEarly.catch(() => undefined)
  if (isReadyAwaited) await Promise.race([node.ready(readyMsMax), diedEarly])
  return { pid, diedEarly }
}

export async function startNodes (context: BenchContext, nodes: readonly ClusterNode[]): Promise<StartedNode[]> {
  return await Promise.all(nodes.map((node) => startNode(context, node)))
}

function logEnd ({ logFile }: ClusterNode): string {
  return existsSync(logFile) ? readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-logLinesShown).join('\n') : ''
}

/** Fills the journal of a gateway that doesn't run. @returns seconds */
export async function fillJournal (gateway: ClusterNode, events: number, { isDistinct = false } = {}): Promise<number> {
  const startMs = performance.now()
  await runToEnd(path.join(import.meta.dirname, '../pipeline/fill-journal.ts'), [gateway.configFile, String(events), '--cluster', ...(isDistinct ? ['--distinct'] : [])])
  return (performance.now() - startMs) / 1000
}

export interface Caller { readonly memberId: number, readonly token: string }

/** A member with one key, made through the gateway, which runs. */
export async function createCaller (gateway: ClusterNode, name: string): Promise<Caller> {
  const json = async <Result>(...argv: readonly string[]): Promise<Result> => {
    const { code, stdout, stderr } = await gateway.command([...argv, '--json'])
    if (code !== 0) throw new Error(`tollgate ${argv.join(' ')} ended with ${code}: ${stderr}${stdout}`)
    return JSON.parse(stdout) as Result
  }
  const { memberId } = await json<{ memberId: number }>('member', 'create', '--name', name)
  const { token } = await json<{ token: string }>('key', 'create', '--member', String(memberId), '--grade', 'GRADE_PREMIUM')
  return { memberId, token }
}

/** In the price book of these clusters. */
export const clusterPath = '/api/v1/resource1/t1'
