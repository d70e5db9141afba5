// The three-valued oracle for a cluster, by code that shares nothing with the program: what each client saw of a request,
// against the archives of all aggregators, the bills of all billing servers, and the topic of hourly counts as another client reads it.
import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Kafka } from 'kafkajs'
import { operatorToken } from './cluster.ts'
import type { Cluster, ClusterNode } from './cluster.ts'
import { query, sqlText } from './oracle-archive.ts'
import type { Archived } from './oracle-archive.ts'
import type { Memory } from './remembering-client.ts'

export interface Verdict {
  /** Requests whose stores say something else than their clients; at most 20. */
  readonly wrong: readonly string[]
  readonly complete: number
  readonly cut: number
  readonly unsent: number
  readonly billable: number
}

export function judge (memories: readonly Memory[], archived: ReadonlyMap<string, Archived>): Verdict {
  const wrong: string[] = []
  const count = { complete: 0, cut: 0, unsent: 0 }
  for (const memory of memories) {
    count[memory.outcome]++
    const seen = archived.get(memory.traceId) ?? { times: 0, billable: 0 }
    if (!isRight(memory, seen) && wrong.length < 20) wrong.push(`${memory.traceId} ${memory.key} ${memory.outcome} ${memory.status}: in the archive ${seen.times} times, ${seen.billable} billable`)
  }
  return { wrong, ...count, billable: [...archived.values()].reduce((sum, { billable }) => sum + billable, 0) }
}

/** Complete: billed once. Cut: at most once. Never sent: never. 503 says that nothing was recorded; a refusal's own record may go with a crash. */
function isRight ({ outcome, status, key }: Memory, { times, billable }: Archived): boolean {
  if (outcome === 'unsent') return times === 0
  const isHeld = outcome === 'complete' && key !== 'none' && status !== 503 && status !== 429
  const isBillable = isHeld && status < 500
  if (key === 'none' && billable > 0) return false
  if (outcome === 'complete' && !isHeld && billable > 0) return false
  return times <= 1 && (!isHeld || (times === 1 && billable === (isBillable ? 1 : 0)))
}

/** Requests on the bills of these members, over HTTP from one billing server. */
export async function billedCount (billing: ClusterNode, memberIds: readonly number[]): Promise<number> {
  const today = Math.floor(Date.now() / 86_400_000) * 86_400_000
  // A gateway's clock may be ahead.
  const [from, to] = [today - 86_400_000, today + 7 * 86_400_000].map((ms) => new Date(ms).toISOString().slice(0, 10))
  let sum = 0
  for (const memberId of memberIds) {
    const url = `http://127.0.0.1:${billing.privatePort}/private/aggregation/v1/member/${memberId}/charge/total?startDate=${from}&endDate=${to}`
    const response = await fetch(url, { headers: { authorization: `Bearer ${operatorToken}` } })
    const content = await response.json() as { success: boolean, result: { totalCount: number }, message?: string }
    if (!content.success) throw new Error(`${url}: ${response.status} ${content.message ?? ''}`)
    sum += content.result.totalCount
  }
  return sum
}

/** Where the archives and the copies of all aggregators are. */
export function archiveFolders ({ aggregators }: Cluster): string[] { return aggregators.map(({ state }) => state) }

interface ClosedSegment { readonly file: string, readonly sha256: string }

/**
 * The sum of all hourly counts as another client reads their topic: the last record of each row of a segment that is open,
 * and the files, by name and hash, of those that are closed, whose rows the brokers may have dropped.
 */
export async function hourlyCount (kafka: Kafka, topic: string, folders: readonly string[]): Promise<number> {
  const rows = new Map<string, number>()
  const closed = new Map<string, ClosedSegment>()
  await readToEnd(kafka, topic, (key, value) => {
    if (value === null) return
    if (/^\d+\|\d+\|\d+\|\d+\|\d+\|\d+$/.test(key)) rows.set(key, (JSON.parse(value) as { count: number }).count)
    const segment = /^closed\|(\d+\|\d+)$/.exec(key)?.[1]
    if (segment !== undefined) closed.set(segment, JSON.parse(value) as ClosedSegment)
  })
  let sum = 0
  for (const [key, count] of rows) if (!closed.has(key.split('|').slice(0, 2).join('|'))) sum += count
  const files = folders.flatMap((folder) => globSync('**/segments/*.parquet', { cwd: folder }).map((file) => path.join(folder, file)))
  for (const [segment, { file, sha256 }] of closed) {
    const found = files.find((one) => path.basename(one) === file && createHash('sha256').update(readFileSync(one)).digest('hex') === sha256)
    if (found === undefined) throw new Error(`closed segment ${segment}: no aggregator has ${file} with the hash of the topic`)
    const [row] = await query(`select coalesce(sum(count), 0)::bigint as count from read_parquet(${sqlText(found)})`)
    sum += Number(row?.['count'])
  }
  return sum
}

/** With a loaded machine's pauses far below it. */
const silenceMs = 20_000

async function readToEnd (kafka: Kafka, topic: string, take: (key: string, value: string | null) => void): Promise<void> {
  const admin = kafka.admin()
  await admin.connect()
  const ends = (await admin.fetchTopicOffsets(topic)).filter(({ high, low }) => Number(high) > Number(low))
  await admin.disconnect()
  if (ends.length === 0) return
  const left = new Map(ends.map(({ partition, high }) => [partition, Number(high)]))
  const consumer = kafka.consumer({ groupId: `oracle-${topic}-${Math.floor(performance.now())}-${process.pid}` })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    // Marks of transactions have offsets and are given to nobody: where several end a partition, only silence shows its end.
    let silence: NodeJS.Timeout | undefined
    consumer.run({
      eachBatch: async (payload) => {
        const { batch } = payload
        clearTimeout(silence)
        for (const { key, value, offset } of batch.messages) {
          take(key?.toString() ?? '', value?.toString() ?? null)
          payload.resolveOffset(offset)
        }
        if (Number(batch.lastOffset()) + 1 >= (left.get(batch.partition) ?? 0)) left.delete(batch.partition)
        if (left.size === 0) resolve()
        else silence = setTimeout(resolve, silenceMs)
      }
    }).catch(reject)
  })
  await consumer.disconnect()
}
