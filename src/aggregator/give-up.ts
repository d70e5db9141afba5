// What an operator gives up: records of a stream that nobody can bring any more, because the journal that had them is gone.
// They become a void, as what a journal itself has lost does: counted in no bill, shown by `tollgate verify`. What was counted
// of them before stays on the bills, and is a hole of the archive.
import { TollgateError } from '../domain/errors.ts'
import type { UsageLog } from '../usage-log/port.ts'
import type { Aggregator } from './aggregator.ts'
import type { Gap } from './batch-plan.ts'
import { replacePositions } from './replace-positions.ts'
import { partitionOf } from './state.ts'
import type { StreamState } from './state.ts'

export interface GivingUp { readonly streamId: string, readonly reason: string }

/** Records `afterSeq < seq <= toSeq` of the stream. */
export interface GivenUp { readonly streamId: string, readonly afterSeq: number, readonly toSeq: number }

export class GiveUps {
  readonly #aggregator: Aggregator
  readonly #usageLog: UsageLog
  readonly #partition: number
  /** Streams for which the usage log is being read again, and where they stood when that began. */
  readonly #readAgain = new Map<string, number>()

  constructor (aggregator: Aggregator, usageLog: UsageLog, partition: number) {
    this.#aggregator = aggregator
    this.#usageLog = usageLog
    this.#partition = partition
  }

  /** @throws TollgateError ARGUMENT_INVALID when nothing of the stream is missing */
  gapOf (streamId: string): Gap {
    const gap = this.#aggregator.gaps.find((known) => known.streamId === streamId)
    if (gap === undefined) throw new TollgateError('ARGUMENT_INVALID', `no records of stream ${streamId} are missing in partition ${this.#partition}`)
    return gap
  }

  /** Counts the void. Part of a step. */
  async count (gap: Gap, reason: string): Promise<void> {
    const { streamId, afterSeq, toSeq, hour } = gap
    this.#aggregator.parts.log.warn({ partition: this.#partition, streamId, afterSeq, toSeq, reason }, 'an operator gives up records that are missing: they are void, and what follows them counts')
    const gatewayId = gap.gatewayId ?? this.#stream(streamId)?.gatewayId ?? 'unknown'
    await this.#aggregator.take(this.#partition, [{
      kind: 'void', streamId, gatewayId, prevSeq: afterSeq, lastSeq: toSeq, reason: `given up: ${reason}`, hours: hour === undefined ? [] : [{ hour, count: 0 }], isHoursUncertain: true
    }])
  }

  /** What follows the void was passed over: the usage log is read from its beginning. Part of a step. */
  async readAgain (streamIds: readonly string[]): Promise<void> {
    const { positions } = partitionOf(this.#aggregator.state, this.#partition)
    if (positions === undefined || streamIds.length === 0) return
    for (const streamId of streamIds) {
      this.#readAgain.set(streamId, this.#stream(streamId)?.appliedSeq ?? 0)
      this.#aggregator.passedOver.delete(streamId)
    }
    await replacePositions(this.#aggregator, this.#partition, { ...positions, appliedOffset: 0, archivedOffset: 0 })
    await this.#usageLog.rewind(this.#partition)
  }

  /** The end of the log is reached. A stream's records may stand there in any order: those that were passed over before others came are new now. Part of a step. @param flush archives what is counted */
  async reachedEnd (flush: () => Promise<void>): Promise<void> {
    const hasMore = [...this.#readAgain].filter(([streamId, seq]) => this.#aggregator.passedOver.has(streamId) && (this.#stream(streamId)?.appliedSeq ?? 0) > seq).map(([streamId]) => streamId)
    this.#readAgain.clear()
    // What is counted and not archived would be in the way of what follows it.
    if (hasMore.length > 0) await flush()
    await this.readAgain(hasMore)
  }

  #stream (streamId: string): StreamState | undefined { return partitionOf(this.#aggregator.state, this.#partition).streams.get(streamId) }
}
