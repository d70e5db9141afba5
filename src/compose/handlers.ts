// What the control socket of a running program answers: the commands' own handlers, with the running parts behind them.
import type { BillingHandle } from '../billing/start.ts'
import type { ControlHandlers } from '../cli/control-server.ts'
import { billHandlers } from '../cli/handlers/bill.ts'
import { proofHandlers } from '../cli/handlers/proof.ts'
import type { ProofParts } from '../cli/handlers/proof.ts'
import { registryHandlers } from '../cli/handlers/registry.ts'
import type { RegistryParts } from '../cli/handlers/registry.ts'
import type { Clock } from '../platform/clock.ts'
import type { ThreadHandle } from '../platform/thread.ts'
import type { Registry } from '../registry/port.ts'
import type { Rules } from './reload.ts'

export interface RunningParts {
  readonly inForce: () => Rules
  readonly registry: Registry
  readonly clock: Clock
  readonly journal: ThreadHandle
  readonly aggregator: ThreadHandle
  readonly billing: BillingHandle
}

export function embeddedHandlers ({ inForce, registry, clock, journal, aggregator: { rpc }, billing }: RunningParts): ControlHandlers {
  const aggregator: ProofParts['aggregator'] = {
    verify: (question) => rpc.ask('verify', question),
    acknowledge: (question) => rpc.ask('acknowledge', question),
    rebuild: (question) => rpc.ask('rebuild', question),
    status: () => rpc.ask('status')
  }
  return {
    ...registryHandlers({ registry, ...signingOf(inForce), clock }),
    ...billHandlers(billing),
    ...proofHandlers({ aggregator, ledger: billing.totals, clock, askMarks: () => journal.rpc.ask('mark'), isCounting: true })
  }
}

/** What keys and member tokens are signed with, as of the last reload. */
export function signingOf (inForce: () => Rules): Pick<RegistryParts, 'signing' | 'memberSecret'> {
  return { signing: () => inForce().config.auth.secrets[0], memberSecret: () => inForce().config.billing.memberSecret }
}
