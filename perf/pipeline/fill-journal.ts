// Fills a journal with the product's own code: `fill-journal.ts CONFIG-FILE EVENTS [--cluster] [--distinct]`. It does what a
// gateway's worker does for each answer (meter, ring, group commit, witness), without HTTP, then ends the stream cleanly. A
// process of its own. `--cluster`: the journal of a gateway that has a process for itself, with the usage log's partitions.
// `--distinct`: each event is an hourly row of its own.
import { randomUUID } from 'node:crypto'
import process from 'node:process'
import { setImmediate as turn } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { embeddedPartitions, journalOptionsOf } from '../../src/compose/thread-options.ts'
import { loadConfig } from '../../src/config/load.ts'
import { partitionOf } from '../../src/domain/partition.ts'
import { Account } from '../../src/gateway/account.ts'
import { Meter } from '../../src/gateway/meter.ts'
import { startJournal } from '../../src/journal/start.ts'
import { openWorkerSide } from '../../src/journal/worker-side.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { Workload, gradeOf } from './workload.ts'

/** As many answers held back at a time as a gateway under load holds. */
const heldMax = 1_000

const { values: { cluster: isCluster = false, distinct: isDistinct = false }, positionals: [configFile, eventsText] } = parseArgs({
  allowPositionals: true, options: { cluster: { type: 'boolean' }, distinct: { type: 'boolean' } }
})
const events = Number(eventsText)
if (configFile === undefined || !Number.isInteger(events)) throw new Error('usage: fill-journal.ts CONFIG-FILE EVENTS [--cluster] [--distinct]')

const { config, priceBook } = loadConfig({ file: configFile, ...(isCluster ? { roles: ['gateway'] } : {}) })
const onDeath = (name: string, error: Error): void => { throw new Error(`thread ${name} ended`, { cause: error }) }
const journal = await startJournal({
  journal: { ...journalOptionsOf(config, isCluster ? config.usageLog.partitions : embeddedPartitions), inFlightMax: heldMax },
  workers: 1,
  ringBytes: config.journal.ringBytes,
  environment: { logLevel: 'warn', clock: { kind: 'system' }, crashPoint: undefined },
  onDeath
})
const [spec] = journal.workers
if (spec === undefined) throw new Error('the journal has no worker')
const side = openWorkerSide(spec, systemClock)
const onError = (error: unknown): void => { throw error }
const meter = new Meter(side, { gatewayId: config.gatewayId, partitions: spec.partitions, onError })
const workload = new Workload((memberId, apiKeyId) => ({
  claims: { memberId, apiKeyId, grade: gradeOf(apiKeyId), iatS: 0 },
  isOpaque: false,
  apiKeyIdText: String(apiKeyId),
  memberIdText: String(memberId),
  partition: partitionOf(String(apiKeyId), spec.partitions),
  state: 'active',
  stateUntilMs: Infinity,
  stateVersion: 0
}), isDistinct ? events : undefined)

let settled = 0
for (let offered = 0; offered < events; offered++) {
  const account = new Account(meter, side.answered, (isFailed) => {
    if (isFailed) throw new Error('the journal refused an event: is the disk full?')
    settled++
    account.over()
  })
  account.record({ ...workload.next(account.requestTimeMs, randomUUID()), priceBook })
  while (meter.waiting >= heldMax) await turn()
}
while (settled < events) await turn()
side.close()
await journal.stop()
process.stdout.write(`filled ${settled}\n`)
