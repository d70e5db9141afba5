// Entry of the shipper's thread.
import { openDisk } from '../journal/disk.ts'
import { JournalState } from '../journal/memory.ts'
import type { JournalReaderSpec } from '../journal/start.ts'
import { openKafka } from '../kafka/client.ts'
import { runThread } from '../platform/thread.ts'
import type { ThreadContext, ThreadService } from '../platform/thread.ts'
import { usageTopics } from '../usage-log/kafka-topics.ts'
import { KnownGateway } from './known-gateway.ts'
import { ShipperLoop } from './loop.ts'
import { shippingOptionsOf } from './options.ts'
import type { ShipperOptions } from './options.ts'
import { Shipping } from './shipping.ts'

export interface ShipperThreadOptions extends ShipperOptions { readonly journal: JournalReaderSpec }

async function start ({ options, log, clock }: ThreadContext<ShipperThreadOptions>): Promise<ThreadService> {
  const { journal, topicPrefix, stateFolder, gatewayId } = options
  const state = new JournalState(journal.state)
  const shipping = new Shipping({ disk: openDisk(journal.disk), folder: journal.folder, state, log }, shippingOptionsOf(options))
  const loop = new ShipperLoop({
    shipping, state, kafka: openKafka(options.kafka), topics: usageTopics(topicPrefix), known: new KnownGateway(stateFolder, gatewayId), options, clock, log
  })
  loop.start((error) => {
    // Thrown where nobody catches it: the thread ends, and with it the process.
    setImmediate(() => { throw error })
  })
  return {
    health: () => loop.health(),
    metrics: () => loop.metrics(),
    stop: () => loop.stop(),
    handlers: { hello: () => loop.hello() }
  }
}

runThread(start)
