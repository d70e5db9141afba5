// From the configuration to what each part of a cluster is told.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { ClusterAggregatorSettings } from '../aggregator/cluster-start.ts'
import type { PeerAddress } from '../aggregator/peer-copies.ts'
import type { ClusterBillingOptions } from '../billing/cluster-options.ts'
import type { Config } from '../config/schema.ts'
import { TollgateError } from '../domain/errors.ts'
import type { PriceBook } from '../domain/price-book.ts'
import { shipperDefaults } from '../shipper/start.ts'
import type { ShipperOptions } from '../shipper/start.ts'
import { kafkaOptionsOf } from '../config/kafka-options.ts'
import { aggregatorOptionsOf, billingOptionsOf, journalOptionsOf } from './thread-options.ts'

export function shipperOptionsOf (config: Config): ShipperOptions {
  const { bytesMax, segmentBytes } = journalOptionsOf(config, config.usageLog.partitions)
  return {
    ...shipperDefaults,
    kafka: kafkaOptionsOf(config, `${config.gatewayId}-gateway`),
    topicPrefix: config.kafka?.topicPrefix ?? '',
    gatewayId: config.gatewayId,
    partitions: config.usageLog.partitions,
    stateFolder: path.join(config.state, 'shipper'),
    journalBytesMax: bytesMax,
    segmentBytes
  }
}

export function clusterAggregatorOptionsOf (config: Config): ClusterAggregatorSettings {
  return {
    ...aggregatorOptionsOf(config),
    topicPrefix: config.kafka?.topicPrefix ?? '',
    ownerName: config.aggregator.name,
    publishIntervalMs: config.aggregator.publishIntervalMs,
    keepHours: config.usageLog.keepHours
  }
}

export function clusterBillingOptionsOf (config: Config, priceBook: PriceBook): ClusterBillingOptions {
  const { rules, ledger } = billingOptionsOf(config, priceBook)
  return {
    rules,
    ledger,
    kafka: kafkaOptionsOf(config, `${config.gatewayId}-billing`),
    topicPrefix: config.kafka?.topicPrefix ?? '',
    partitions: config.usageLog.partitions,
    aggregators: peerAddressesOf(config.aggregators),
    archiveCopies: config.archive.copies
  }
}

/** @throws TollgateError CONFIG_INVALID for an authority's file that can't be read */
export function peerAddressesOf (peers: Config['aggregators']): PeerAddress[] {
  return peers.map(({ url, token, caFile }) => ({ url, token, ...(caFile === undefined ? {} : { ca: pemOf(caFile) }) }))
}

function pemOf (file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new TollgateError('CONFIG_INVALID', `${file} can't be read: ${(error as Error).message}`, { cause: error })
  }
}
