// The billing thread: follows the hourly log into the ledger, and answers what it holds.
import { hourStartMs } from '../domain/window.ts'
import { connectHourlyLog } from '../hourly-log/embedded.ts'
import { followHourlyLog } from '../ledger/follow.ts'
import { openLedger } from '../ledger/ledger.ts'
import { metricJson, metricsJson, openMetrics } from '../platform/metrics.ts'
import { runThread } from '../platform/thread.ts'
import type { Health, ThreadContext, ThreadService } from '../platform/thread.ts'
import { billOf, membersBillOf } from './bill.ts'
import type { BillQuestion, MembersBillQuestion } from './bill.ts'
import { openBillingMetrics } from './billing-metrics.ts'
import { openListeners } from './listeners.ts'
import type { BillingThreadOptions } from './options.ts'
import { openBillingRules } from './rules-in-force.ts'
import { openBillingSource } from './source.ts'

/** Changes that come faster are folded together. */
const followIntervalMs = 100
const followRetryMs = 1_000

async function start ({ options, log, clock }: ThreadContext<BillingThreadOptions>): Promise<ThreadService> {
  const ledger = await openLedger({ ...options.ledger, log })
  const reader = connectHourlyLog(options.hourlyLogPort)
  const follower = followHourlyLog({ ledger, reader, partitions: options.partitions, log, intervalMs: followIntervalMs, retryMs: followRetryMs })
  const inForce = openBillingRules(options.rules, { clock, log })
  const source = openBillingSource(ledger, () => inForce.now().book, clock)
  const registry = openMetrics()
  const metrics = openBillingMetrics(registry)
  const closeLedger = async (): Promise<void> => {
    const stopped = follower.stop()
    // A question to an aggregator that has gone would never be answered.
    reader.close()
    await stopped
    await ledger.close()
  }
  const health = (): Health => {
    const problem = follower.problem()
    const reasons = [...ledger.isReady() ? [] : ['the ledger is still reading the hourly counts'], ...problem === undefined ? [] : [`the ledger can't follow the hourly counts: ${problem}`]]
    return { isReady: reasons.length === 0, reasons }
  }
  // While the ledger is still reading, no hour is known to be complete.
  const completeBeforeMs = async (): Promise<number> => ledger.isReady() ? hourStartMs(await ledger.completeBeforeHour(clock.nowMs()).catch(() => 0)) : 0
  const listeners = await openListeners({ rules: options.rules, inForce: inForce.now, source, log, metrics }).catch(async (error: unknown) => {
    await closeLedger()
    throw error
  })
  return {
    health,
    metrics: async () => {
      metrics.setWaiting(source.waiting())
      return [
        ...await metricsJson(registry),
        metricJson('tollgate_ledger_current', [{ value: health().isReady ? 1 : 0 }]),
        metricJson('tollgate_ledger_steps_total', [{ value: follower.steps() }]),
        metricJson('tollgate_complete_before_timestamp_seconds', [{ value: await completeBeforeMs() / 1000 }])
      ]
    },
    stop: async () => {
      await Promise.all(listeners.map((listener) => listener.close()))
      await closeLedger()
    },
    handlers: {
      ...inForce.handlers,
      bill: async (question: BillQuestion) => await billOf(source, question),
      membersBill: async (question: MembersBillQuestion) => await membersBillOf(source, question),
      totals: async () => await ledger.totals()
    }
  }
}

runThread(start)
