// One contestant as fast as it answers autocannon: first its compilers, then a warm-up, then what is measured.
import type { Contestant } from '../contestants/contestant.ts'
import { saturate } from '../load/saturate.ts'
import { measure } from './measure.ts'
import type { Sample } from './measure.ts'

export interface SaturationPlan {
  /** Before anything is measured: enough for the compilers to have settled. */
  readonly primeRequests: number
  readonly warmUpS: number
  readonly saturationS: number
}

export async function prime (contestant: Contestant, { connections, plan }: { readonly connections: number, readonly plan: SaturationPlan }): Promise<void> {
  const { requests } = await saturate(contestant, { connections, requests: plan.primeRequests })
  await contestant.settle({ complete: requests, cutMax: 0 })
}

export interface SaturateOnce {
  readonly upstreamPid: number
  readonly connections: number
  readonly round: number
  readonly plan: SaturationPlan
  /** Called between the warm-up and what is measured. */
  readonly onStart?: () => void
}

export async function saturateOnce (contestant: Contestant, { upstreamPid, connections, round, plan, onStart }: SaturateOnce): Promise<Sample> {
  const probe = await saturate(contestant, { connections, requests: connections * 10 })
  const warmUp = await saturate(contestant, { connections, requests: probe.requests / probe.seconds * plan.warmUpS })
  await contestant.settle({ complete: probe.requests + warmUp.requests, cutMax: 0 })
  const requests = warmUp.requests / warmUp.seconds * plan.saturationS
  onStart?.()
  return await measure({ contestant, upstreamPid, connections, round, generator: 'autocannon', isCutAtEnd: false, load: () => saturate(contestant, { connections, requests }) })
}
