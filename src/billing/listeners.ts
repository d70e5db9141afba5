// The two listeners of a billing server: one for members, one for the operator's programs.
import type { FastifyInstance } from 'fastify'
import type { Logger } from '../platform/logger.ts'
import type { BillingMetrics } from './billing-metrics.ts'
import type { BillingRules } from './options.ts'
import type { BillingInForce } from './rules-in-force.ts'
import { openListener } from './server.ts'
import type { BillingSource } from './source.ts'

export interface ListenersParts {
  readonly rules: Pick<BillingRules, 'listen' | 'privateListen' | 'memberSecret'>
  readonly inForce: () => BillingInForce
  readonly source: BillingSource
  readonly log: Logger
  readonly metrics: BillingMetrics
}

/** Resolves when both listen. @throws TollgateError PORT_IN_USE, and neither does */
export async function openListeners ({ rules, inForce, source, log, metrics }: ListenersParts): Promise<readonly FastifyInstance[]> {
  const shared = { source, rangeDaysMax: () => inForce().rangeDaysMax, log, metrics }
  if (rules.memberSecret === undefined) log.warn('billing.memberSecret is not configured: no member can read their charges')
  const member = await openListener({
    ...shared, name: 'member', prefix: '/api', security: 'memberToken', listen: rules.listen, guard: (...asked) => { inForce().memberGuard(...asked) }
  })
  try {
    return [member, await openListener({ ...shared, name: 'private', prefix: '/private', security: 'operatorToken', listen: rules.privateListen, guard: (...asked) => { inForce().operatorGuard(...asked) } })]
  } catch (error) {
    await member.close()
    throw error
  }
}
