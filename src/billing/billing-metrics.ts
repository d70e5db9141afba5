// What the billing server counts about itself.
import { counter, gauge, histogram } from '../platform/metrics.ts'
import type { openMetrics } from '../platform/metrics.ts'

export interface BillingMetrics {
  readonly answered: (answer: { readonly listener: string, readonly route: string, readonly status: number, readonly durationMs: number }) => void
  readonly setWaiting: (count: number) => void
}

export function openBillingMetrics (registry: ReturnType<typeof openMetrics>): BillingMetrics {
  const answers = counter(registry, 'tollgate_billing_answers_total')
  const duration = histogram(registry, 'tollgate_billing_answer_seconds')
  const waiting = gauge(registry, 'tollgate_billing_questions_waiting')
  return {
    answered: ({ listener, route, status, durationMs }) => {
      answers.inc({ listener, route, status: String(status) })
      duration.observe({ listener, route }, durationMs / 1000)
    },
    setWaiting: (count) => { waiting.set(count) }
  }
}
