// The owner of one partition, from the moment it is dealt to us until it is taken away: takes it over, owns it, and after
// any failure closes everything and takes it over again. A partition for which a person has to decide waits.
import { TollgateError } from '../domain/errors.ts'
import type { KafkaAdmin, KafkaClient } from '../kafka/port.ts'
import { sleepMs } from '../platform/clock.ts'
import type { Health } from '../platform/thread.ts'
import { unlessAborted } from '../platform/unless-aborted.ts'
import { partitionFolder } from './cluster-folders.ts'
import { DeadLetterTopic } from './dead-letter-topic.ts'
import type { GivenUp, GivingUp } from './give-up.ts'
import { Ownership } from './ownership.ts'
import type { OwnershipParts, OwnershipSettings, OwnershipStatus } from './ownership-parts.ts'
import { takeOver } from './take-over.ts'
import type { Keep, TakeOverParts, TakeOverStep } from './take-over.ts'

export type OwnerState = TakeOverStep | 'owning' | 'waiting' | 'pausing' | 'closed'

export interface OwnerSettings extends OwnershipSettings {
  readonly stateFolder: string
  readonly threads: number
  readonly segmentRowsMax: number
}

export interface OwnerParts extends Omit<OwnershipParts, 'deadLetters' | 'settings' | 'kafka' | 'admin'> {
  readonly kafka: Pick<KafkaClient, 'openTransactionalPublisher' | 'openPartitionReader' | 'openPartitionProducer'>
  readonly admin: Pick<KafkaAdmin, 'topic' | 'offsets' | 'deleteRecordsBefore'>
  readonly settings: OwnerSettings
  /** A new UUID at each call. */
  readonly randomId: () => string
  /** False: others may have been dealt our partitions, so none is taken over for now. */
  readonly isMember: () => boolean
  /** Tests bring wrong ones, to see that they are caught. */
  readonly plan?: NonNullable<TakeOverParts['aggregator']['plan']>
  readonly decide?: NonNullable<TakeOverParts['decide']>
}

export interface PartitionStatus {
  readonly partition: number
  readonly state: OwnerState
  /** Why it waits or was given up last. */
  readonly reason: string | undefined
  readonly ownership: OwnershipStatus | undefined
}

const retryMsMin = 1_000
const retryMsMax = 15_000
/** Who was fenced was too slow: before it takes anything away again, the group must have noticed. */
const fencedRetryMs = 5_000
const membershipCheckMs = 500

export class PartitionOwner {
  readonly partition: number
  readonly #parts: OwnerParts
  readonly #closing = new AbortController()
  #state: OwnerState = 'pausing'
  #reason: string | undefined
  #ownership: Ownership | undefined
  #keep: Keep | undefined
  #decided: (() => void) | undefined
  #isDrained = false
  #running: Promise<void> = Promise.resolve()
  #retryMs = retryMsMin

  constructor (parts: OwnerParts) {
    this.partition = parts.partition
    this.#parts = parts
  }

  get ownership (): Ownership | undefined { return this.#ownership }

  start (): void { this.#running = this.#run() }

  status (): PartitionStatus { return { partition: this.partition, state: this.#state, reason: this.#reason, ownership: this.#ownership?.status() } }

  health (): Health {
    const reasons = this.#ownership === undefined ? [this.#reason ?? `is being taken over (${this.#state})`] : this.#ownership.health().reasons
    return { isReady: reasons.length === 0, reasons: reasons.map((reason) => `partition ${this.partition}: ${reason}`) }
  }

  /** An operator says which side goes on. @throws TollgateError ARGUMENT_INVALID when the partition doesn't wait for that */
  async recover (keep: Keep): Promise<void> {
    if (this.#decided === undefined) throw new TollgateError('ARGUMENT_INVALID', `partition ${this.partition} does not wait for a decision: it is ${this.#state}`)
    this.#keep = keep
    this.#decided()
  }

  /** @throws TollgateError ARGUMENT_INVALID when the partition isn't ours yet */
  async flush (): Promise<void> { await this.#owned().flush() }

  /** What is missing of a stream is given up. @throws TollgateError ARGUMENT_INVALID when the partition isn't ours yet, or nothing is missing */
  async giveUp (given: GivingUp): Promise<GivenUp> { return await this.#owned().giveUp(given) }

  async setMemory (bytes: number): Promise<void> { await this.#ownership?.setMemory(bytes) }

  /** Resolves when everything is closed. @param isDrained what was counted is archived and published first */
  async close ({ isDrained = false } = {}): Promise<void> {
    this.#isDrained = isDrained
    this.#closing.abort()
    await this.#running
  }

  #owned (): Ownership {
    if (this.#ownership === undefined) throw new TollgateError('ARGUMENT_INVALID', `partition ${this.partition} is not owned here: it is ${this.#state}`)
    return this.#ownership
  }

  async #run (): Promise<void> {
    const { log } = this.#parts
    while (!this.#closing.signal.aborted) {
      try {
        await this.#untilMember()
        if (this.#closing.signal.aborted) break
        await this.#own()
      } catch (error) {
        if (this.#closing.signal.aborted) break
        if (error instanceof TollgateError && error.code === 'RECOVER_NEEDED') await this.#wait(error)
        else await this.#pause(error)
      }
    }
    this.#state = 'closed'
    log.info({ partition: this.partition }, 'the partition is no longer ours')
  }

  /** Resolves when the partition was taken away. @throws what ended it otherwise */
  async #own (): Promise<void> {
    const { kafka, topics, clusterMetrics, clock, log } = this.#parts
    const startMs = clock.monotonicMs()
    const deadLetters = new DeadLetterTopic({ kafka, topic: topics.deadLetter, partition: this.partition, count: (reason, letters) => { clusterMetrics.usageDeadLetters.inc({ reason }, letters) }, log })
    try {
      const keep = this.#keep
      const owned = await takeOver(this.#takeOverParts(deadLetters), keep)
      this.#keep = undefined
      this.#ownership = await Ownership.begin({ ...this.#parts, deadLetters }, owned)
      // Shares may have changed while it was taken over.
      await this.#ownership.setMemory(this.#parts.settings.memoryBytesMax)
      this.#state = 'owning'
      this.#reason = undefined
      this.#retryMs = retryMsMin
      clusterMetrics.takeOvers.inc({ decision: owned.decision })
      clusterMetrics.takeOverSeconds.observe((clock.monotonicMs() - startMs) / 1000)
      log.info({ partition: this.partition, decision: owned.decision, ...this.#ownership.status() }, 'the partition is ours')
      await unlessAborted(this.#closing.signal, this.#ownership.failed)
    } finally {
      const ownership = this.#ownership
      this.#ownership = undefined
      await ownership?.end({ isDrained: this.#isDrained })
      await deadLetters.close()
    }
  }

  #takeOverParts (deadLetters: DeadLetterTopic): TakeOverParts {
    const { settings, log, clock, randomId, plan, decide, clusterMetrics, partition, kafka, admin, topics, ownerName, onArchived } = this.#parts
    return {
      partition,
      kafka,
      admin,
      topics,
      ownerName,
      log,
      folder: partitionFolder(settings.stateFolder, partition),
      aggregator: {
        memoryBytesMax: settings.memoryBytesMax,
        threads: settings.threads,
        segmentRowsMax: settings.segmentRowsMax,
        log,
        nowMs: clock.nowMs,
        randomId,
        onSnapshot: async (files) => {
          try {
            return await unlessAborted(this.#closing.signal, onArchived(files)) === true
          } catch (error) {
            log.warn({ error, partition }, 'nobody can say whether a segment\'s file has its copies')
            return false
          }
        },
        tellBadLines: async (_partition, badLines) => { await deadLetters.sendLines(badLines) },
        ...(plan === undefined ? {} : { plan })
      },
      onStep: (step) => { this.#state = step },
      isCancelled: () => this.#closing.signal.aborted,
      onMalformed: (key, problem) => {
        clusterMetrics.malformedHourly.inc()
        log.error({ partition, key, problem }, 'a record of the topic of hourly counts can\'t be read: an earlier version of it stands, if there was one; see who else writes to the topic')
      },
      ...(decide === undefined ? {} : { decide })
    }
  }

  async #untilMember (): Promise<void> {
    while (!this.#closing.signal.aborted && !this.#parts.isMember()) {
      this.#state = 'pausing'
      this.#reason = 'the membership in the group of aggregators is in doubt'
      await sleepMs(membershipCheckMs, this.#closing.signal).catch(() => undefined)
    }
  }

  async #wait ({ code, message }: TollgateError): Promise<void> {
    this.#state = 'waiting'
    this.#reason = `${code}: ${message}`
    this.#parts.log.error({ code, partition: this.partition }, `${message}; the partition waits for \`tollgate recover\``)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#decided = resolve
    await unlessAborted(this.#closing.signal, promise)
    this.#decided = undefined
  }

  async #pause (error: unknown): Promise<void> {
    const { log, clusterMetrics } = this.#parts
    const code = error instanceof TollgateError ? error.code : 'unexpected'
    const message = error instanceof Error ? error.message : String(error)
    this.#state = 'pausing'
    this.#reason = message
    clusterMetrics.givenUp.inc({ code })
    if (code === 'KAFKA_FENCED') log.warn({ code, partition: this.partition, error }, 'another aggregator has taken the partition over: nothing of ours was published since, and nothing is lost')
    else log.error({ code, partition: this.partition, error }, 'the partition was given up; nothing is lost, and it is taken over again')
    const delayMs = code === 'KAFKA_FENCED' ? fencedRetryMs : this.#retryMs
    this.#retryMs = Math.min(this.#retryMs * 2, retryMsMax)
    await sleepMs(delayMs, this.#closing.signal).catch(() => undefined)
  }
}
