// What must be true of a cluster before any figure is told: each event is on a bill once and in the archive once, and the
// program's own proof agrees.
import { eventually } from '../../test/helpers/eventually.ts'
import { operatorToken } from '../../test/helpers/cluster.ts'
import type { ClusterNode } from '../../test/helpers/cluster.ts'
import { readMetrics } from '../harness/program-metrics.ts'
import { countArchived, sumBilled } from '../pipeline/checks.ts'
import type { Archived } from '../pipeline/checks.ts'
import type { BenchCluster } from './cluster.ts'

const settleMsMax = 900_000
const pollMs = 100
const billPollMs = 1_000

/** Resolves when one aggregator that was started for it has counted, archived and published `events`. */
export async function awaitCounted (aggregator: ClusterNode, events: number): Promise<void> {
  await eventually(`${aggregator.name} has counted, archived and published ${events} events`, async () => {
    const metrics = await readMetrics(aggregator.operatorPort)
    const counted = metrics.get('tollgate_aggregator_events_total') ?? 0
    const archived = metrics.get('tollgate_archive_events_total') ?? 0
    return counted >= events && archived >= events && metrics.get('tollgate_aggregator_unpublished_revisions') === 0
  }, { withinMs: settleMsMax, everyMs: pollMs })
}

/** Of all members of the workload. */
export async function billedBy (billing: ClusterNode): Promise<number> {
  return await sumBilled({ privatePort: billing.privatePort, operatorToken })
}

/** All processes but the gateway must run. @throws unless bills, archive and `tollgate verify` say that there were exactly `events` */
export async function prove (cluster: BenchCluster, events: number): Promise<Archived> {
  const { billing, aggregators } = cluster
  await eventually(`${events} events are on the bills`, async () => await billedBy(billing) >= events, { withinMs: settleMsMax, everyMs: billPollMs })
  await verifyCluster(cluster)
  const billed = await billedBy(billing)
  if (billed !== events) throw new Error(`${events} events went in, ${billed} are on the bills`)
  const archived = await countArchived({ folder: billing.folder, states: aggregators.map(({ state }) => state) })
  if (archived.events !== events) throw new Error(`${events} events went in, ${archived.events} are in the archive`)
  return archived
}

/** @throws unless `tollgate verify` proves that everything answered is archived, counted and billed */
export async function verifyCluster ({ billing }: BenchCluster): Promise<void> {
  const { code, stdout, stderr } = await billing.command(['verify', '--wait', '60'])
  if (code !== 0) throw new Error(`tollgate verify ended with ${code}:\n${stdout}${stderr}`)
}
