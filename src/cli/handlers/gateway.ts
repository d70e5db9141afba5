// `tollgate gateway`: the gateways of a cluster, as billing knows them; times cross the socket as texts.
import type { ClusterBillingHandle } from '../../billing/cluster-start.ts'
import type { GatewayView } from '../../billing/gateways.ts'
import { formatTimeMs, hourStartMs } from '../../domain/window.ts'
import type { ControlHandlers } from '../control-server.ts'
import { HandlerArgument, needed } from './argument.ts'

export interface GatewayRow extends Omit<GatewayView, 'countedBeforeMs' | 'lastSeenMs' | 'retirement'> {
  readonly countedBefore: string | null
  readonly lastSeen: string
  readonly retirement: { readonly at: string, readonly reason: string, readonly isLost: boolean } | null
}
export interface GatewayListView { readonly completeBefore: string | null, readonly gateways: readonly GatewayRow[] }
export interface RetirementView { readonly gatewayId: string, readonly at: string, readonly isLost: boolean }

export function gatewayHandlers (billing: Pick<ClusterBillingHandle, 'gateways' | 'retire'>): ControlHandlers {
  return {
    'gateway.list': async (): Promise<GatewayListView> => {
      const { completeBeforeHour, gateways } = await billing.gateways()
      return { completeBefore: completeBeforeHour === 0 ? null : formatTimeMs(hourStartMs(completeBeforeHour)), gateways: gateways.map(rowOf) }
    },
    'gateway.retire': async (argument): Promise<RetirementView> => {
      const given = new HandlerArgument(argument)
      const { gatewayId, atMs, isLost } = await billing.retire({
        gatewayId: needed('gatewayId', given.text('gatewayId')), reason: needed('reason', given.text('reason')), isLost: given.flag('isLost'), isForced: given.flag('isForced')
      })
      return { gatewayId, at: formatTimeMs(atMs), isLost }
    }
  }
}

function rowOf ({ countedBeforeMs, lastSeenMs, retirement, ...row }: GatewayView): GatewayRow {
  return {
    ...row,
    countedBefore: countedBeforeMs === null ? null : formatTimeMs(countedBeforeMs),
    lastSeen: formatTimeMs(lastSeenMs),
    retirement: retirement === null ? null : { at: formatTimeMs(retirement.atMs), reason: retirement.reason, isLost: retirement.isLost }
  }
}
