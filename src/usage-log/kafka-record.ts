// A record of the topic api-usage-trace: one usage event as JSON, keyed by apiKeyId (by gatewayId where there was no key), with
// its identity and chain as headers too, so that a value which can't be read still moves the chain. A void takes the place of
// events that were lost; it says so in a header and any other consumer may skip it.

export const usageHeaders = {
  gatewayId: 'gatewayId', streamId: 'streamId', seq: 'seq', prevSeq: 'prevSeq', requestTime: 'requestTime',
  /** `void` for a void; absent for events. */
  kind: 'kind'
} as const

/** The value of a void: it stands for the seqs of its stream and partition from `prevSeq` (not included) to `seq`. */
export interface VoidValue {
  readonly schemaVersion: 1
  readonly kind: 'void'
  readonly gatewayId: string
  readonly streamId: string
  readonly seq: number
  readonly prevSeq: number
  readonly reason: string
  /** Lost events by hour since the epoch; count 0 where only the hours between the neighbours are known. */
  readonly hours: readonly (readonly [hour: number, count: number])[]
  readonly isHoursUncertain: boolean
}
