// What the exchanges of one worker share.
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import type { Batch } from './batch.ts'
import type { BodiesAhead } from './bodies-ahead.ts'
import type { Counters } from './counters.ts'
import type { InFlight } from './in-flight.ts'
import type { LastAnswers } from './last-answers.ts'
import type { JournalSide, Meter } from './meter.ts'

export interface Services {
  readonly clock: Clock
  readonly log: Logger
  readonly meter: Meter
  readonly witness: JournalSide['answered']
  readonly batch: Batch
  readonly inFlight: InFlight
  readonly bodiesAhead: BodiesAhead
  readonly counters: Counters
  readonly lastAnswers: LastAnswers
  /** `false`: an answer goes when its event is offered. */
  readonly isHolding: boolean
  /** Answers end their connections. */
  isStopping: boolean
}
