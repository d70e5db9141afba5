// Two machines that take a partition from each other, gateways that send and send again, and a Kafka in memory: take-overs,
// owners that don't know yet that they are none, publishing whose answer is lost, crashes between any two steps, databases
// lost and restored, machines lost with all that is on them, compaction, power cuts of the brokers, topics made anew. The rules of
// spikes and design, on the real code and a real DuckDB: in the end each answered request is in exactly one hourly row once, and in
// the archive. Not promised, and so not done: a machine lost whose peer was away when it had files to bring, or whose database was lost.
import { randomUUID } from 'node:crypto'
import { cpSync, existsSync, globSync, rmSync } from 'node:fs'
import path from 'node:path'
import type { TestContext } from 'node:test'
import type { planBatch } from '../../src/aggregator/batch-plan.ts'
import { partitionFolder } from '../../src/aggregator/cluster-folders.ts'
import { clusterTopics } from '../../src/aggregator/cluster-topics.ts'
import { Publishing } from '../../src/aggregator/publishing.ts'
import { partitionOf } from '../../src/aggregator/state.ts'
import { takeOver } from '../../src/aggregator/take-over.ts'
import type { OwnedPartition } from '../../src/aggregator/take-over.ts'
import type { decideTakeOver } from '../../src/aggregator/take-over-rule.ts'
import { nextTombstones, segmentsWithRows } from '../../src/aggregator/tombstones.ts'
import { Retention } from '../../src/aggregator/retention.ts'
import { TollgateError } from '../../src/domain/errors.ts'
import { hourStartMs } from '../../src/domain/window.ts'
import type { PartitionRecords, RecordIn, RecordOut } from '../../src/kafka/port.ts'
import type { SqlConnection } from '../../src/platform/duckdb.ts'
import { KafkaUsageLog } from '../../src/usage-log/kafka.ts'
import { parseStreamProgress } from '../../src/usage-log/usage-progress.ts'
import { query, silent, temporaryFolder } from '../helpers/aggregator-rig.ts'
import { MemoryKafka } from '../helpers/memory-kafka.ts'
import { testHour, testTimeMs, usageEvent } from '../helpers/memory-usage-log.ts'
import { ClusterStream, foldHourly } from '../helpers/owner-rig.ts'
import { seededRandom } from '../helpers/seeded-random.ts'

/** What a wrong variant changes. */
export interface OwnerVariant {
  readonly plan?: typeof planBatch
  /** @param ownerName of the machine that decides */
  readonly decide?: (ownerName: string) => typeof decideTakeOver
  readonly split?: (parts: readonly PartitionRecords[]) => readonly (readonly PartitionRecords[])[]
  readonly place?: (topic: string, record: RecordOut) => number
  readonly isFencingOff?: boolean
  /** What is archived counts as copied. */
  readonly isCopyAssumed?: boolean
}

const topics = clusterTopics('')
const allTopics = [topics.usage, topics.hourly, topics.usageProgress, topics.deadLetter]
const segmentRowsMax = 12
/** A step of a clock that goes a millisecond at a time; longer than the pause between two deletions. */
const keptMs = 100_000

/** Few keys, so that rows change again and again; enough of them to fill segments. */
interface Request { readonly apiKeyId: number, readonly apiEndpointId: number, readonly hour: number }

/** A gateway: keeps its records until they are archived, and sends again what stays unapplied. */
class Gateway {
  readonly stream: ClusterStream
  /** Not trimmed. */
  readonly journal: { readonly seq: number, readonly record: RecordOut }[] = []
  #sent = 0
  #applied = 0

  constructor (name: string) { this.stream = new ClusterStream(name) }

  answer (requests: readonly Request[]): void {
    const first = this.stream.lastSeq + 1
    const records = this.stream.records(requests.map(({ apiKeyId, apiEndpointId, hour }) => usageEvent({ apiKeyId, apiEndpointId, requestTimeMs: hourStartMs(hour) })))
    records.forEach((record, index) => { this.journal.push({ seq: first + index, record }) })
  }

  send (kafka: MemoryKafka, count: number): void {
    const some = this.journal.filter(({ seq }) => seq > this.#sent).slice(0, count)
    kafka.append(topics.usage, some.map(({ record }) => record))
    this.#sent = some.at(-1)?.seq ?? this.#sent
  }

  learn (records: readonly RecordIn[]): void {
    const told = records.findLast((record) => record.key === `${this.stream.streamId}|0`)
    const progress = told === undefined ? undefined : parseStreamProgress(told)
    if (progress === undefined) return
    while (this.journal[0] !== undefined && this.journal[0].seq <= Math.min(progress.archivedSeq, progress.appliedSeq)) this.journal.shift()
    this.#applied = progress.appliedSeq
    if (progress.gapAfter !== undefined) this.#sent = Math.min(this.#sent, progress.gapAfter)
  }

  /** What is unapplied for long is sent again. */
  resend (): void { this.#sent = Math.min(this.#sent, this.#applied) }
}

interface Ownership { readonly owned: OwnedPartition, readonly usageLog: KafkaUsageLog, readonly publishing: Publishing, readonly reader: SqlConnection, readonly retention: Retention }

class Machine {
  readonly name: string
  folder: string
  ownership: Ownership | undefined
  backup: string | undefined
  /** Files may have been waiting for their copies for long, or its database not know of them. */
  isBehind = false

  constructor (name: string, folder: string) {
    this.name = name
    this.folder = folder
  }

  get database (): string { return path.join(partitionFolder(this.folder, 0), 'aggregator') }

  async close (): Promise<void> {
    const { ownership } = this
    this.ownership = undefined
    if (ownership === undefined) return
    await ownership.owned.publisher.close()
    ownership.reader.close()
    ownership.owned.opened.close()
  }
}

export class OwnerWorld {
  readonly trace: string[] = []
  readonly #t: TestContext
  readonly #random: () => number
  readonly #variant: OwnerVariant
  readonly #kafka: MemoryKafka
  readonly #machines: Machine[]
  readonly #gateways = [new Gateway('gateway-1'), new Gateway('gateway-2')]
  /** Requests by key, endpoint and hour. */
  readonly #answered = new Map<string, number>()
  /** Copies of files, by machine; it is never lost. */
  readonly #peer: string
  #nowMs = testTimeMs + 60_000

  constructor (t: TestContext, seed: number, variant: OwnerVariant) {
    this.#t = t
    this.#random = seededRandom(seed)
    this.#variant = variant
    this.#kafka = new MemoryKafka(allTopics, () => ++this.#nowMs)
    Object.assign(this.#kafka.faults, { isFencingOff: variant.isFencingOff === true, split: variant.split, place: variant.place, publish: () => this.#random() < 0.04 ? 'lost-answer' : this.#random() < 0.03 ? 'refused' : 'fine' })
    this.#peer = temporaryFolder(t, 'peer')
    this.#machines = ['a', 'b'].map((name) => new Machine(name, temporaryFolder(t, `machine-${name}`)))
  }

  #below (bound: number): number { return Math.floor(this.#random() * bound) }
  #pick <Item>(items: readonly Item[]): Item { return items[this.#below(items.length)] as Item }

  async #take (machine: Machine): Promise<void> {
    await machine.close()
    const kafka = this.#kafka
    const decide = this.#variant.decide?.(machine.name)
    try {
      const owned = await takeOver({
        partition: 0, kafka, admin: kafka.openAdmin(), topics, folder: partitionFolder(machine.folder, 0), ownerName: machine.name, log: silent,
        aggregator: { memoryBytesMax: 128 * 2 ** 20, threads: 1, segmentRowsMax, log: silent, nowMs: () => ++this.#nowMs, randomId: () => randomUUID(), onSnapshot: async ({ files }) => this.#bringSome(machine, files), ...(this.#variant.plan === undefined ? {} : { plan: this.#variant.plan }) },
        onStep: () => {}, isCancelled: () => false, onMalformed: (key) => { throw new Error(`malformed: ${key}`) }, ...(decide === undefined ? {} : { decide })
      })
      const { aggregator } = owned.opened
      const reader = await aggregator.parts.duckDb.connect()
      const usageLog = new KafkaUsageLog({
        partition: 0, reader: kafka.openPartitionReader({ topic: topics.usage, partition: 0, isolation: 'uncommitted', topicId: owned.topicIds.usageTopicId }),
        archivedOffset: () => partitionOf(aggregator.state, 0).positions?.archivedOffset ?? 0, setAside: async () => {}, onGone: () => { throw new Error('the topic is gone') }, log: silent
      })
      const publishing = new Publishing({ aggregator, reader, publisher: owned.publisher, topics, partition: 0, ownerName: machine.name, publishedRevision: owned.publishedRevision, monotonicMs: () => this.#nowMs })
      const retention = new Retention({
        partition: 0, topic: topics.usage, admin: kafka.openAdmin(), folders: aggregator.parts.folders, ownerName: machine.name, reader, keepMs: keptMs, nowMs: () => this.#nowMs, log: silent, signal: new AbortController().signal,
        write: async (sql, values) => { await aggregator.parts.writer.run(sql, values) },
        onArchived: async ({ files }) => this.#bringSome(machine, files)
      })
      machine.ownership = { owned, usageLog, publishing, reader, retention }
      this.trace.push(`${machine.name} takes over: ${owned.decision}`)
    } catch (error) {
      if (!(error instanceof TollgateError)) throw error
      this.trace.push(`${machine.name} can't take over: ${error.code}`)
    }
    await this.#publish(machine)
  }

  async #read (machine: Machine): Promise<void> {
    const { ownership } = machine
    if (ownership === undefined) return
    const { usageLog, owned: { opened: { aggregator } } } = ownership
    try {
      const items = await usageLog.read(0, 2 ** 20)
      await aggregator.take(0, items, usageLog.readTo())
      await aggregator.closeSegmentWhenFull(0)
      this.trace.push(`${machine.name} reads to ${usageLog.readTo().offset}`)
    } catch (error) {
      if (!(error as Error).message.includes('gone')) throw error
      await machine.close()
      this.trace.push(`${machine.name} finds the usage log made anew`)
    }
  }

  async #flush (machine: Machine): Promise<void> {
    await machine.ownership?.owned.opened.aggregator.flush()
    if (this.#variant.isCopyAssumed === true) await machine.ownership?.owned.opened.aggregator.parts.writer.run('UPDATE archived_offsets SET isSafe = true')
    this.trace.push(`${machine.name} flushes`)
  }

  /** Now and then the peer can't be reached. */
  #bringSome (machine: Machine, files: readonly string[]): boolean {
    if (this.#random() < 0.3) return false
    for (const file of files) this.#bring(machine, file)
    return true
  }

  #bring (machine: Machine, file: string): void {
    cpSync(file, path.join(this.#peer, machine.name, path.relative(machine.folder, file)))
  }

  /** Files go to the peer in their order. */
  async #copy (machine: Machine): Promise<void> {
    const { ownership } = machine
    if (ownership === undefined) return
    this.#nowMs += keptMs
    await ownership.retention.tick(ownership.publishing)
    const [waiting] = await ownership.reader.rows<{ flushes: bigint }>('SELECT count(*) AS flushes FROM archived_offsets WHERE NOT isSafe')
    machine.isBehind = waiting?.flushes !== 0n
    this.trace.push(`${machine.name} brings copies; ${String(waiting?.flushes)} flushes wait`)
  }

  /** As the peers do it for each other from time to time: all of its files. */
  #bringAll (machine: Machine): void {
    for (const file of globSync('partition-0/{archive,aggregator/segments}/**/*.*', { cwd: machine.folder })) this.#bring(machine, path.join(machine.folder, file))
  }

  /** Another machine takes its name, with nothing on it. */
  async #loseMachine (machine: Machine): Promise<void> {
    await machine.close()
    if (machine.isBehind) this.#bringAll(machine)
    machine.folder = temporaryFolder(this.#t, `machine-${machine.name}`)
    machine.isBehind = false
    this.trace.push(`${machine.name} is lost`)
  }

  /** A failure of any kind ends the ownership. */
  async #publish (machine: Machine): Promise<void> {
    const { ownership } = machine
    if (ownership === undefined) return
    try {
      if (ownership.usageLog.lag === 0) ownership.owned.opened.aggregator.noteUnstaged(0)
      if (await ownership.publishing.publish()) this.trace.push(`${machine.name} publishes revision ${ownership.publishing.revision}`)
      const [closed] = await segmentsWithRows(ownership.reader, { partition: 0, publishedRevision: ownership.publishing.revision })
      if (closed === undefined) return
      const { records, forget } = await nextTombstones(ownership.reader, { topic: topics.hourly, partition: 0, closed })
      if (records.records.length > 0) await ownership.owned.publisher.publish([records])
      await forget(ownership.owned.opened.aggregator.parts.writer)
      this.trace.push(`${machine.name} sends tombstones of segment ${closed.segment}`)
    } catch (error) {
      if (!(error instanceof TollgateError)) throw error
      this.trace.push(`${machine.name} gives up: ${error.code}`)
      await machine.close()
    }
  }

  /** The process is gone; files are as they were at this moment. */
  async #crash (machine: Machine): Promise<void> {
    const next = temporaryFolder(this.#t, `machine-${machine.name}`)
    cpSync(machine.folder, next, { recursive: true, filter: (source) => !source.endsWith('.tmp') })
    await machine.close()
    machine.folder = next
    this.trace.push(`${machine.name} crashes`)
  }

  /** The process is gone in the middle of a flush: its files have their names, perhaps their record too, and the database knows nothing of it. */
  async #crashInFlush (machine: Machine): Promise<void> {
    if (machine.ownership === undefined) return
    const archive = path.join('partition-0', 'archive')
    const recordsOf = (folder: string): string[] => globSync('flush/*.json', { cwd: path.join(folder, archive) })
    machine.isBehind = true
    const next = temporaryFolder(this.#t, `machine-${machine.name}`)
    cpSync(machine.folder, next, { recursive: true, filter: (source) => !source.endsWith('.tmp') })
    const before = new Set(recordsOf(next))
    await this.#flush(machine)
    cpSync(path.join(machine.folder, archive), path.join(next, archive), { recursive: true })
    const isRecordLost = this.#random() < 0.6
    if (isRecordLost) for (const record of recordsOf(next)) if (!before.has(record)) rmSync(path.join(next, archive, record))
    await machine.close()
    machine.folder = next
    this.trace.push(`${machine.name} crashes in its flush${isRecordLost ? ', before the record' : ''}`)
    await this.#take(machine)
  }

  async #loseDatabase (machine: Machine): Promise<void> {
    await this.#crash(machine)
    machine.isBehind = true
    for (const file of globSync('aggregator.duckdb*', { cwd: machine.database })) rmSync(path.join(machine.database, file), { recursive: true })
    this.trace.push(`${machine.name} loses its database`)
  }

  async #backUp (machine: Machine): Promise<void> {
    await this.#crash(machine)
    if (!existsSync(path.join(machine.database, 'aggregator.duckdb'))) return
    if (machine.backup !== undefined && this.#random() < 0.5) return
    machine.backup = path.join(temporaryFolder(this.#t, 'backup'), 'aggregator.duckdb')
    cpSync(path.join(machine.database, 'aggregator.duckdb'), machine.backup)
    const wal = path.join(machine.database, 'aggregator.duckdb.wal')
    if (existsSync(wal)) cpSync(wal, `${machine.backup}.wal`)
    await this.#take(machine)
  }

  async #restore (machine: Machine): Promise<void> {
    if (machine.backup === undefined) return
    await this.#loseDatabase(machine)
    for (const suffix of ['', '.wal']) if (existsSync(machine.backup + suffix)) cpSync(machine.backup + suffix, path.join(machine.database, `aggregator.duckdb${suffix}`))
    this.trace.push(`${machine.name}'s database is restored from an older copy`)
    // As an operator does it: the machine starts with it.
    await this.#take(machine)
  }

  async #deleteArchived (): Promise<void> {
    const view = foldHourly(this.#hourly())
    const offset = view.statements.get('progress|0')?.['archivedOffset']
    if (typeof offset === 'number' && offset > 0) await this.#kafka.openAdmin().deleteRecordsBefore(topics.usage, 0, offset)
    this.trace.push(`the usage log starts at ${String(offset)}`)
  }

  /** Retention is shorter than the aggregators were away. */
  async #dropAll (): Promise<void> {
    await this.#kafka.openAdmin().deleteRecordsBefore(topics.usage, 0, this.#kafka.endOffset(topics.usage))
    this.trace.push('the usage log is dropped, counted or not')
  }

  /** As the loop does after any error of its own: memory is forgotten, and the log is read again from what is archived. */
  async #forget ({ name, ownership }: Machine): Promise<void> {
    if (ownership === undefined) return
    await ownership.owned.opened.aggregator.reset()
    ownership.usageLog.rewind()
    this.trace.push(`${name} forgets`)
  }

  #answer (): void {
    const gateway = this.#pick(this.#gateways)
    const requests = Array.from({ length: 1 + this.#below(4) }, () => ({ apiKeyId: 1 + this.#below(3), apiEndpointId: 1 + this.#below(3), hour: testHour + this.#below(3) }))
    gateway.answer(requests)
    for (const request of requests) this.#answered.set(rowOf(request), (this.#answered.get(rowOf(request)) ?? 0) + 1)
  }

  /** A while without faults: an owner gets on. */
  async #getOn (machine: Machine): Promise<void> {
    if (machine.ownership === undefined) await this.#take(machine)
    for (let round = 0; round < 2; round++) {
      this.#answer()
      for (const gateway of this.#gateways) gateway.send(this.#kafka, 6)
      await this.#read(machine)
      await this.#publish(machine)
    }
  }

  async step (): Promise<void> {
    const machine = this.#pick(this.#machines)
    const gateway = this.#pick(this.#gateways)
    const actions: readonly (readonly [weight: number, action: () => void | Promise<void>])[] = [
      [18, () => this.#getOn(machine)], [22, () => { this.#answer() }], [22, () => { gateway.send(this.#kafka, 1 + this.#below(5)) }], [8, () => { gateway.learn(this.#kafka.records(topics.usageProgress)) }], [4, () => { gateway.resend() }],
      [28, async () => { this.#kafka.recordsPerRead = 1 + this.#below(6); await this.#read(machine) }], [16, () => this.#publish(machine)], [8, () => this.#flush(machine)],
      [9, () => this.#take(machine)], [3, () => this.#crash(machine)], [4, () => this.#crashInFlush(machine)], [1.5, () => this.#loseDatabase(machine)], [3, () => this.#backUp(machine)], [5, () => this.#restore(machine)],
      [4, () => { this.#kafka.compact(this.#pick([topics.hourly, topics.usageProgress]), this.#random()) }], [2, () => this.#deleteArchived()], [1, () => this.#dropAll()], [3, () => this.#forget(machine)],
      [10, () => this.#copy(machine)], [3, () => this.#loseMachine(machine)],
      [1.5, () => { this.#kafka.cut(topics.usage, this.#below(Math.min(6, this.#kafka.records(topics.usage).length + 1))); this.trace.push('the brokers lose what they had not synced') }],
      [0.5, () => { this.#kafka.remake(topics.usage); this.trace.push('the usage log is made anew') }]
    ]
    let at = this.#random() * actions.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, action] of actions) {
      at -= weight
      if (at < 0) { await action(); return }
    }
  }

  /** No more faults. @returns what is wrong then */
  async judge (): Promise<string[]> {
    const [owner, other] = this.#machines as [Machine, Machine]
    Object.assign(this.#kafka.faults, { publish: undefined })
    this.#kafka.recordsPerRead = Infinity
    await other.close()
    await this.#take(owner)
    for (let round = 0; round < 4; round++) {
      for (const gateway of this.#gateways) {
        gateway.learn(this.#kafka.records(topics.usageProgress))
        gateway.resend()
        gateway.send(this.#kafka, Infinity)
      }
      if (owner.ownership === undefined) await this.#take(owner)
      for (let reads = 0; reads < 2; reads++) await this.#read(owner)
      await this.#flush(owner)
      for (let publishes = 0; publishes < 6; publishes++) await this.#publish(owner)
    }
    const wrong = [...await this.#judgeRows(), ...await this.#judgeArchive()]
    wrong.push(...(owner.ownership?.owned.opened.aggregator.gaps ?? []).map(({ reason }) => `gap: ${reason}`))
    return wrong
  }

  async close (): Promise<void> { for (const machine of this.#machines) await machine.close() }

  /** Of machines, and of what the peer has of them. */
  get #folders (): string[] { return this.#machines.flatMap(({ name, folder }) => [folder, path.join(this.#peer, name)]) }

  #hourly (): { readonly key: string, readonly value: string | null }[] {
    return [...this.#kafka.records(topics.hourly), ...this.#kafka.strays(topics.hourly)].map(({ key = '', value }) => ({ key, value: value?.toString() ?? null }))
  }

  /** Open rows and closed segments' files, as a ledger adds them up. */
  async #judgeRows (): Promise<string[]> {
    const { rows, statements } = foldHourly(this.#hourly())
    const closed = new Map([...statements].flatMap(([key, value]) => key.startsWith('closed|') ? [[Number(key.split('|')[2]), value['file'] as string] as const] : []))
    const counts = new Map<string, number>()
    const add = (row: string, count: number): void => { counts.set(row, (counts.get(row) ?? 0) + count) }
    for (const row of rows.values()) if (!closed.has(row['segment'] as number)) add(rowOf(row as unknown as Request), row['count'] as number)
    const wrong: string[] = []
    for (const file of closed.values()) {
      const found = this.#folders.map((folder) => path.join(partitionFolder(folder, 0), 'aggregator', 'segments', file)).find((candidate) => existsSync(candidate))
      if (found === undefined) { wrong.push(`closed segment ${file} is nowhere`); continue }
      const inFile = await query<Request & { count: bigint }>(':memory:', `SELECT apiKeyId::INTEGER AS apiKeyId, apiEndpointId::INTEGER AS apiEndpointId, hour, count FROM read_parquet('${found}')`)
      for (const row of inFile) add(rowOf(row), Number(row.count))
    }
    for (const row of new Set([...counts.keys(), ...this.#answered.keys()])) {
      if (counts.get(row) !== this.#answered.get(row)) wrong.push(`row ${row}: ${counts.get(row) ?? 0} counted, ${this.#answered.get(row) ?? 0} answered`)
    }
    return wrong
  }

  async #judgeArchive (): Promise<string[]> {
    const files = this.#folders.flatMap((folder) => globSync('partition-0/archive/date=*/hour=*/*.parquet', { cwd: folder }).map((file) => `'${path.join(folder, file)}'`))
    const [found] = files.length === 0 ? [{ events: 0n }] : await query<{ events: bigint }>(':memory:', `SELECT count(DISTINCT (streamId, seq)) AS events FROM read_parquet([${files.join(', ')}])`)
    const answered = [...this.#answered.values()].reduce((sum, count) => sum + count, 0)
    return Number(found?.events) === answered ? [] : [`the archive has ${String(found?.events)} of ${answered} requests`]
  }
}

function rowOf ({ apiKeyId, apiEndpointId, hour }: Request): string { return `${apiKeyId} ${apiEndpointId} ${hour}` }
