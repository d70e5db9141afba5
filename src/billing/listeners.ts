// The two listeners of a billing server: one for members, one for the operator's programs.
import type { FastifyInstance } from 'fastify'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import { memberGuard, operatorGuard } from './authentication.ts'
import type { BillingMetrics } from './billing-metrics.ts'
import type { BillingRules } from './options.ts'
import { openListener } from './server.ts'
import type { BillingSource } from './source.ts'

export interface ListenersParts {
  readonly rules: BillingRules
  readonly source: BillingSource
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: BillingMetrics
}

/** Resolves when both listen. @throws TollgateError PORT_IN_USE, and neither does */
export async function openListeners ({ rules, source, clock, log, metrics }: ListenersParts): Promise<readonly FastifyInstance[]> {
  const shared = { source, rangeDaysMax: rules.rangeDaysMax, log, metrics }
  if (rules.memberSecret === undefined) log.warn('billing.memberSecret is not configured: no member can read their charges')
  const member = await openListener({
    ...shared, name: 'member', prefix: '/api', security: 'memberToken', listen: rules.listen, guard: memberGuard(rules.memberSecret, clock)
  })
  try {
    const guard = operatorGuard(rules.operatorTokens, (name) => { log.info({ name }, 'an operator token is used for the first time since the start') })
    return [member, await openListener({ ...shared, name: 'private', prefix: '/private', security: 'operatorToken', listen: rules.privateListen, guard })]
  } catch (error) {
    await member.close()
    throw error
  }
}
