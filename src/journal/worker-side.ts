// Everything of the journal that a gateway worker touches, made from what its thread was started with.
import type { MessagePort } from 'node:worker_threads'
import { after } from '../platform/clock.ts'
import type { Clock } from '../platform/clock.ts'
import { AnsweredCounter } from './answered.ts'
import { EventOutlet } from './handover.ts'
import type { Ack } from './handover.ts'
import { InFlightRequests } from './watermark.ts'

/** Goes into a worker thread's options; `wakePort` must also be in its transfer list. */
export interface JournalWorkerSpec {
  readonly state: SharedArrayBuffer
  readonly ring: SharedArrayBuffer
  readonly answered: SharedArrayBuffer
  readonly wakePort: MessagePort
  readonly ack: Ack
  readonly eventBytesMax: number
  /** Of the journal's streams; a key's partition is `partitionOf(key, partitions)`. */
  readonly partitions: number
}

export interface JournalWorkerSide {
  readonly outlet: EventOutlet
  readonly answered: AnsweredCounter
  readonly inFlight: InFlightRequests
  /** Ends the wake-ups: the thread may then end. Call it when nothing is held back any more. */
  readonly close: () => void
}

export function openWorkerSide (spec: JournalWorkerSpec, clock: Clock): JournalWorkerSide {
  const inFlight = new InFlightRequests(spec, clock)
  const outlet = new EventOutlet({
    ...spec, defer: (action) => { setImmediate(action) }, inFlight: () => inFlight.count, later: (action, ms) => { after(ms, action) }
  })
  spec.wakePort.on('message', () => { outlet.settle() })
  return {
    outlet,
    answered: new AnsweredCounter(spec.answered),
    inFlight,
    close: () => { spec.wakePort.close() }
  }
}
