// From the configuration to what each part is told.
import type { AggregatorThreadSettings } from '../aggregator/start.ts'
import type { BillingThreadOptions } from '../billing/options.ts'
import type { Config } from '../config/schema.ts'
import type { PriceBook } from '../domain/price-book.ts'
import { eventBytesMax } from '../domain/usage-event.ts'
import type { GatewayRules } from '../gateway/options.ts'
import type { JournalOptions } from '../journal/options.ts'
import { stateFiles } from '../platform/state-files.ts'
import { version } from '../platform/version.ts'
import type { Rules } from './reload.ts'

/** Embedded, the journal itself is the log. */
export const embeddedPartitions = 1

/** `auto` is resolved when the configuration is loaded. */
const number = (value: number | 'auto'): number => {
  if (value === 'auto') throw new TypeError('a setting was not resolved')
  return value
}

export const workersOf = (config: Config): number => number(config.gateway.workers)

/** @param partitions of the usage log */
export function journalOptionsOf (config: Config, partitions: number): JournalOptions {
  const { journal, metering, gateway } = config
  return {
    folder: stateFiles(config.state).journal,
    gatewayId: config.gatewayId,
    build: version,
    partitions,
    segmentBytes: journal.segmentBytes,
    bytesMax: number(journal.bytesMax),
    diskFreeBytesMin: 2 * journal.segmentBytes,
    commitBytesMax: journal.commitBytesMax,
    refusedBytesMax: number(journal.refusedBytesMax),
    inFlightMax: gateway.inFlightMax * workersOf(config),
    eventBytesMax,
    ack: metering.ack,
    bufferedIntervalMs: metering.bufferedIntervalMs,
    markIntervalMs: 1_000
  }
}

export function gatewayRulesOf ({ config, priceBook, certificates, upstreamTls }: Rules): GatewayRules {
  return {
    gatewayId: config.gatewayId,
    gateway: config.gateway,
    certificate: certificates.gateway,
    upstreamTls,
    authentication: { secrets: config.auth.secrets, tokenCacheMax: config.auth.tokenCacheMax, unknownKeys: config.registry.unknownKeys },
    grades: config.grades,
    priceBook: priceBook.document
  }
}

export function billingOptionsOf (config: Config, priceBook: PriceBook): Omit<BillingThreadOptions, 'hourlyLogPort'> {
  const { listen, privateListen, memberSecret, operatorTokens, rangeDaysMax } = config.billing
  return {
    rules: { listen, privateListen, priceBook: priceBook.document, operatorTokens, rangeDaysMax, ...(memberSecret === undefined ? {} : { memberSecret }) },
    ledger: { folder: stateFiles(config.state).billing, ...config.ledger, graceMs: config.completeness.graceMs },
    partitions: Array.from({ length: embeddedPartitions }, (_, partition) => partition)
  }
}

export function aggregatorOptionsOf (config: Config): AggregatorThreadSettings {
  const { memoryBytesMax, threads, batchEventsMax, batchIntervalMs } = config.aggregator
  const { flushIntervalMs, flushEventsMax } = config.archive
  return { stateFolder: config.state, memoryBytesMax, threads, segmentRowsMax: config.hourlyLog.segmentRowsMax, batchEventsMax, batchIntervalMs, flushIntervalMs, flushEventsMax }
}
