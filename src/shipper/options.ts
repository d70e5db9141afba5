// What a shipper is started with: plain values, so that they cross threads.
import type { KafkaOptions } from '../kafka/port.ts'

export interface ShippingOptions {
  readonly gatewayId: string
  /** Of the journal's streams: how many lanes share the memory. Older streams may have had fewer or more. */
  readonly partitions: number
  /** Records of one send. */
  readonly parcelRecordsMax: number
  readonly parcelBytesMax: number
  /** Of all lanes together. */
  readonly bufferBytesMax: number
  /** Events read at a time, before anything else gets its turn. */
  readonly readBytesMax: number
  /** So long a partition that takes nothing holds up the others. */
  readonly patienceMs: number
  /** So long something acknowledged may stay uncounted without any progress. */
  readonly resendAfterMs: number
}

export interface ShipperOptions {
  readonly kafka: KafkaOptions
  readonly topicPrefix: string
  readonly gatewayId: string
  /** usageLog.partitions */
  readonly partitions: number
  /** The shipper's own, for a file that says whether this gateway is known. */
  readonly stateFolder: string
  /** The journal's bound, to say how long it lasts. */
  readonly journalBytesMax: number
  readonly segmentBytes: number
  /** So long a gateway that nobody knows waits for its hello. */
  readonly helloTimeoutMs: number
  /** So long a stop waits for Kafka. */
  readonly drainTimeoutMs: number
  readonly resendAfterMs: number
}

const mebibyte = 2 ** 20

export const shipperDefaults = { helloTimeoutMs: 60_000, drainTimeoutMs: 10_000, resendAfterMs: 60_000 } as const

/** What nobody needs to choose; docs/usage-log.md says how fast it is. */
export function shippingOptionsOf ({ gatewayId, partitions, resendAfterMs }: ShipperOptions): ShippingOptions {
  return { gatewayId, partitions, resendAfterMs, parcelRecordsMax: 1000, parcelBytesMax: mebibyte / 2, bufferBytesMax: 48 * mebibyte, readBytesMax: mebibyte, patienceMs: 5000 }
}
