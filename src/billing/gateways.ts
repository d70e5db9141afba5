// `tollgate gateway list` and `retire`: who is known by a hello, how far each one is, and how a dead one stops holding hours
// back. A retirement stays on record in gateway-progress, for every billing server.
import { TollgateError } from '../domain/errors.ts'
import type { PartitionProducer } from '../kafka/port.ts'
import type { Ledger } from '../ledger/ledger-types.ts'
import type { Clock } from '../platform/clock.ts'
import { encodeRetirement } from '../usage-log/gateway-progress.ts'
import type { Completeness } from './completeness.ts'
import type { GatewaysFollower } from './follow-gateways.ts'
import type { GatewayBook, GatewayStream } from './gateway-book.ts'

export interface GatewayView {
  readonly gatewayId: string
  /** `open`: a stream of it is in use, or was when it fell silent. */
  readonly state: 'open' | 'closed' | 'retired'
  /** Streams that haven't ended, and all. */
  readonly openStreams: number
  readonly streams: number
  /** All its events below are counted, milliseconds since the epoch; null when nothing is open. */
  readonly countedBeforeMs: number | null
  /** Events that it has journaled and nobody has counted, as far as it has said so. */
  readonly uncounted: number
  /** When the broker last took something that it said, milliseconds since the epoch. */
  readonly lastSeenMs: number
  /** Why the next hour isn't complete, as far as it is this gateway's. */
  readonly holds: readonly string[]
  readonly retirement: { readonly atMs: number, readonly reason: string, readonly isLost: boolean } | null
}

export interface GatewayList { readonly completeBeforeHour: number, readonly gateways: readonly GatewayView[] }

export interface RetireQuestion {
  readonly gatewayId: string
  readonly reason: string
  /** What it may have journaled and not sent is given up. */
  readonly isLost: boolean
  /** Also a gateway that speaks: only its silent streams end. */
  readonly isForced: boolean
}

export interface GatewaysParts {
  readonly book: GatewayBook
  readonly follower: Pick<GatewaysFollower, 'isCurrent'>
  readonly completeness: Completeness
  readonly ledger: Pick<Ledger, 'account'>
  /** Of gateway-progress. */
  readonly openProducer: () => PartitionProducer
  readonly clock: Clock
}

/** Whoever has spoken within it is alive. */
const silenceMsMin = 60_000

export interface Gateways {
  /** @throws TollgateError LEDGER_BEHIND */
  readonly list: () => Promise<GatewayList>
  /** Durable when it resolves. @throws TollgateError GATEWAY_UNKNOWN, GATEWAY_ALIVE, GATEWAY_UNAPPLIED, LEDGER_BEHIND, KAFKA_UNREACHABLE */
  readonly retire: (question: RetireQuestion) => Promise<{ readonly gatewayId: string, readonly atMs: number, readonly isLost: boolean }>
}

export function openGateways ({ book, follower, completeness, ledger, openProducer, clock }: GatewaysParts): Gateways {
  /** Events counted by stream. */
  const countedByStream = async (): Promise<ReadonlyMap<string, number>> => {
    const account = follower.isCurrent() ? await ledger.account({ fromHour: 0 }) : undefined
    if (account === undefined) throw new TollgateError('LEDGER_BEHIND', 'what the gateways say, or what is counted, is still being read')
    book.count(account.streams)
    const counted = new Map<string, number>()
    for (const { streamId, billable, notBillable, deadLettered, voided } of account.tallies) counted.set(streamId, (counted.get(streamId) ?? 0) + billable + notBillable + deadLettered + voided)
    return counted
  }
  const uncountedOf = (stream: GatewayStream, counted: ReadonlyMap<string, number>): number =>
    stream.isPending ? Math.max(stream.hours.journaled() - (counted.get(stream.streamId) ?? 0), 1) : 0
  return {
    list: async () => {
      const counted = await countedByStream()
      const byGateway = Map.groupBy([...book.streams].filter(({ newest }) => newest !== undefined), ({ gatewayId }) => gatewayId)
      const { completeBeforeHour, holds } = completeness.report
      const gateways = [...byGateway].map(([gatewayId, streams]): GatewayView => {
        const live = streams.filter((stream) => book.retirementOf(stream) === undefined)
        const open = live.filter(({ hasEnded }) => !hasEnded)
        const holding = live.filter(({ hasEnded, isPending }) => !hasEnded || isPending)
        const retirement = book.retirement(gatewayId)
        return {
          gatewayId,
          state: open.length > 0 ? 'open' : live.length === 0 ? 'retired' : 'closed',
          openStreams: open.length,
          streams: streams.length,
          countedBeforeMs: holding.length === 0 ? null : Math.min(...holding.map(({ countedMs }) => countedMs)),
          uncounted: live.reduce((sum, stream) => sum + uncountedOf(stream, counted), 0),
          lastSeenMs: lastSeenOf(streams),
          holds: holds.filter((hold) => hold.gatewayId === gatewayId).map(({ streamId, reason }) => `stream ${streamId}: ${reason}`),
          retirement: retirement === undefined ? null : { atMs: retirement.atMs, reason: retirement.reason, isLost: retirement.isLost }
        }
      })
      return { completeBeforeHour, gateways: gateways.sort((a, b) => a.gatewayId < b.gatewayId ? -1 : 1) }
    },
    retire: async ({ gatewayId, reason, isLost, isForced }) => {
      if (reason.trim() === '') throw new TollgateError('ARGUMENT_INVALID', 'a retirement needs a reason')
      const counted = await countedByStream()
      const streams = [...book.streams].filter((stream) => stream.gatewayId === gatewayId && stream.newest !== undefined)
      if (streams.length === 0) throw new TollgateError('GATEWAY_UNKNOWN', `there is no gateway ${gatewayId}`)
      const silent = streams.filter((stream) => lastSeenOf([stream]) < clock.nowMs() - silenceMsMin)
      if (streams.some((stream) => !stream.hasEnded && !silent.includes(stream)) && !isForced) throw new TollgateError('GATEWAY_ALIVE', `${gatewayId} has spoken within the last minute`)
      const uncounted = silent.filter((stream) => book.retirementOf(stream) === undefined).reduce((sum, stream) => sum + uncountedOf(stream, counted), 0)
      if (uncounted > 0 && !isLost) throw new TollgateError('GATEWAY_UNAPPLIED', `${uncounted} events of ${gatewayId} are journaled and not counted`)
      const atMs = clock.nowMs()
      const producer = openProducer()
      try {
        await producer.send([encodeRetirement({ gatewayId, atMs, reason, isLost })])
      } finally {
        await producer.close()
      }
      return { gatewayId, atMs, isLost }
    }
  }
}

function lastSeenOf (streams: readonly GatewayStream[]): number { return Math.max(...streams.map(({ newest }) => newest?.appendMs ?? 0)) }
