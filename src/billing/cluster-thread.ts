// The billing thread of a cluster: folds the hourly topic into the ledger, follows what the gateways say, and answers what
// it holds. Any number of such servers run side by side, and each can be thrown away.
import { runThread } from '../platform/thread.ts'
import type { ThreadContext, ThreadService } from '../platform/thread.ts'
import { metricsJson, openMetrics } from '../platform/metrics.ts'
import { billOf, membersBillOf } from './bill.ts'
import type { BillQuestion, MembersBillQuestion } from './bill.ts'
import { openBillingMetrics } from './billing-metrics.ts'
import { openClusterBilling } from './cluster.ts'
import { clusterMetrics } from './cluster-metrics.ts'
import type { ClusterBillingOptions } from './cluster-options.ts'
import type { RetireQuestion } from './gateways.ts'
import { openListeners } from './listeners.ts'
import { openBillingRules } from './rules-in-force.ts'
import { openBillingSource } from './source.ts'

async function start ({ options, log, clock }: ThreadContext<ClusterBillingOptions>): Promise<ThreadService> {
  const billing = await openClusterBilling({ options, log, clock })
  const { ledger, completeness } = billing
  const inForce = openBillingRules(options.rules, { clock, log })
  const source = openBillingSource({ memberHours: ledger.memberHours, memberTotals: ledger.memberTotals, completeBeforeHour: async () => completeness.report.completeBeforeHour }, () => inForce.now().book, clock)
  const registry = openMetrics()
  const metrics = openBillingMetrics(registry)
  const listeners = await openListeners({ rules: options.rules, inForce: inForce.now, source, log, metrics }).catch(async (error: unknown) => {
    await billing.close()
    throw error
  })
  return {
    health: billing.health,
    metrics: async () => {
      metrics.setWaiting(source.waiting())
      return [...await metricsJson(registry), ...clusterMetrics(billing.state())]
    },
    stop: async () => {
      await Promise.all(listeners.map((listener) => listener.close()))
      await billing.close()
    },
    handlers: {
      ...inForce.handlers,
      bill: async (question: BillQuestion) => await billOf(source, question),
      membersBill: async (question: MembersBillQuestion) => await membersBillOf(source, question),
      totals: async () => await ledger.totals(),
      verify: async (question: { readonly waitS: number }) => await billing.verify.verify(question),
      acknowledge: async (question: { readonly gatewayId: string, readonly hour: number, readonly reason: string }) => await billing.verify.acknowledge(question),
      rebuild: async () => await billing.verify.rebuild(),
      gateways: async () => await billing.gateways.list(),
      retire: async (question: RetireQuestion) => await billing.gateways.retire(question),
      completeness: () => completeness.report
    }
  }
}

runThread(start)
