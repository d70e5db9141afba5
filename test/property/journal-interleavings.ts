// What workers and the journal tell each other through shared memory, in every order of their steps: no request slips below
// the watermark, no settled ticket is left without a wake-up, no work is slept over, no failure is missed.
import assert from 'node:assert/strict'
import { Batch } from '../../src/journal/batch.ts'
import { EventOutlet } from '../../src/journal/handover.ts'
import { JournalState } from '../../src/journal/memory.ts'
import { Ring } from '../../src/journal/ring.ts'
import { Stream } from '../../src/journal/stream.ts'
import { InFlightRequests, Watermark } from '../../src/journal/watermark.ts'
import { tryEveryOrder } from '../helpers/between-atomics.ts'

/** The bell's word in the journal's state: 1 while its thread sleeps. See journal/memory.ts. */
const bell = 3 * 64 / Int32Array.BYTES_PER_ELEMENT
const place = { partition: 0, hour: 1, isRefusal: false }

function open (): { readonly state: JournalState, readonly ring: Ring, readonly memory: { readonly state: SharedArrayBuffer, readonly ring: SharedArrayBuffer } } {
  const memory = { state: JournalState.create(), ring: Ring.create(16 * 1024) }
  return { memory, state: new JournalState(memory.state), ring: new Ring(memory.ring) }
}

/** The journal's step: all that is offered is taken and settled. @returns whether the worker is woken */
function commit (ring: Ring, outcome: 'settle' | 'fail'): boolean {
  const batch = new Batch([ring], 'durable')
  const stream = new Stream('00000000-0000-4000-8000-000000000001', 1)
  if (batch.fill(Buffer.alloc(16 * 1024), stream) > 0) batch[outcome]()
  return ring.takeWakeWish()
}

/** A request begins while a watermark is proposed and made durable, in both orders of who is interrupted. */
function watermarkHolds (): number {
  const world = (): { readonly requests: InFlightRequests, readonly watermark: Watermark, readonly clock: { ms: number }, readonly begun: number[], readonly marks: number[] } => {
    const { memory, state, ring } = open()
    const clock = { ms: 100, nowMs: () => clock.ms, monotonicMs: () => 0 }
    // A worker that has looked at the clock may take its time before it does anything else.
    const requests = new InFlightRequests(memory, { nowMs: () => 100, monotonicMs: () => 0 })
    return { requests, watermark: new Watermark(state, [ring], clock, 50), clock, begun: [], marks: [] }
  }
  const check = ({ begun, marks, watermark }: ReturnType<typeof world>): void => {
    marks.push(watermark.propose())
    for (const mark of marks) for (const startMs of begun) assert.ok(startMs >= mark, `a request of ${startMs} is in flight, and the watermark is ${mark}`)
  }
  const mark = ({ watermark, clock, marks }: ReturnType<typeof world>): void => {
    // The clock moves on between the worker's look at it and the journal's.
    clock.ms += 100
    const markMs = watermark.propose()
    watermark.confirm(markMs)
    marks.push(markMs)
  }
  let orders = 0
  for (const hasEarlier of [false, true]) {
    const prepare = (): ReturnType<typeof world> => {
      const made = world()
      if (hasEarlier) made.requests.end(made.requests.begin())
      return made
    }
    orders += tryEveryOrder(() => {
      const made = prepare()
      return { action: () => { made.begun.push(made.requests.begin()) }, other: () => { mark(made) }, check: () => { check(made) } }
    })
    orders += tryEveryOrder(() => {
      const made = prepare()
      return { action: () => { mark(made) }, other: () => { made.begun.push(made.requests.begin()) }, check: () => { check(made) } }
    })
  }
  return orders
}

/** A worker looks for what is settled while the journal settles: it has either seen it or is woken. */
function wakeComes (): number {
  const prepare = (): { readonly look: () => void, readonly settle: () => void, readonly check: () => void } => {
    const { memory, ring } = open()
    let told = 0
    let isWoken = false
    const outlet = new EventOutlet({ ...memory, ack: 'durable', eventBytesMax: 1000, defer: () => {}, inFlight: () => 0, later: () => {} })
    outlet.onSettled((ticket) => { told = ticket })
    outlet.offer('{"a":1', place)
    return {
      look: () => { outlet.settle() },
      settle: () => { isWoken = commit(ring, 'settle') || isWoken },
      check: () => { assert.ok(told === 1 || isWoken, 'a ticket is settled, its worker has not seen it and nobody wakes it') }
    }
  }
  return tryEveryOrder(() => { const { look, settle, check } = prepare(); return { action: look, other: settle, check } }) +
    tryEveryOrder(() => { const { look, settle, check } = prepare(); return { action: settle, other: look, check } })
}

/** A worker offers while the journal goes to sleep: the journal sees the work, or the bell is rung. */
function bellRings (): number {
  return tryEveryOrder(() => {
    const { memory, state, ring } = open()
    const outlet = new EventOutlet({ ...memory, ack: 'durable', eventBytesMax: 1000, defer: (look) => { look() }, inFlight: () => 0, later: () => {} })
    outlet.onSettled(() => {})
    const steps: string[] = []
    return {
      action: () => { state.sleep(50, () => ring.isCommitAsked) },
      onSleep: () => { steps.push('sleeps') },
      other: () => {
        steps.push('offers')
        outlet.offer('{"a":1', place)
      },
      check: () => { assert.notDeepEqual(steps, ['offers', 'sleeps'], 'the journal sleeps while work is waiting') }
    }
  })
}

/** A journal that sleeps is called, wakes at any moment of the call and looks: it finds the work, or is called again. */
function callIsHeard (): number {
  return tryEveryOrder(() => {
    const { memory, ring } = open()
    const outlet = new EventOutlet({ ...memory, ack: 'durable', eventBytesMax: 1000, defer: (look) => { look() }, inFlight: () => 0, later: () => {} })
    outlet.onSettled(() => {})
    const words = new Int32Array(memory.state)
    let isCommitted = false
    words[bell] = 1
    // Asleep until the bell is rung; then it looks, and sleeps again when there is nothing to do.
    const look = (): void => {
      if (words[bell] === 1) return
      if (ring.isCommitAsked) {
        commit(ring, 'settle')
        isCommitted = ring.isEmpty
      } else words[bell] = 1
    }
    return { action: () => { outlet.offer('{"a":1', place) }, other: look, check: () => { look(); assert.ok(isCommitted, 'the journal sleeps and nobody will call it') } }
  })
}

/** A worker is told of tickets while the journal fails others: none of the settled ones is taken for failed, nor the other way round. */
function failuresAreTold (): number {
  const prepare = (): { readonly look: () => void, readonly fail: () => void, readonly check: () => void } => {
    const { memory, ring } = open()
    const outcomes = new Map<number, boolean>()
    let told = 0
    const outlet = new EventOutlet({ ...memory, ack: 'durable', eventBytesMax: 1000, defer: () => {}, inFlight: () => 0, later: () => {} })
    outlet.onSettled((ticket, isFailed) => { for (; told < ticket; told++) outcomes.set(told + 1, isFailed(told + 1)) })
    // Ticket 1 fails and is told; 2 is settled; then 3 fails while the worker looks.
    outlet.offer('{"a":1', place)
    commit(ring, 'fail')
    outlet.settle()
    outlet.offer('{"a":2', place)
    commit(ring, 'settle')
    outlet.offer('{"a":3', place)
    return {
      look: () => { outlet.settle() },
      fail: () => { commit(ring, 'fail') },
      check: () => {
        outlet.settle()
        assert.deepEqual([...outcomes], [[1, true], [2, false], [3, true]])
      }
    }
  }
  return tryEveryOrder(() => { const { look, fail, check } = prepare(); return { action: look, other: fail, check } }) +
    tryEveryOrder(() => { const { look, fail, check } = prepare(); return { action: fail, other: look, check } })
}

export function run (_seed: number): number { return watermarkHolds() + wakeComes() + bellRings() + callIsHeard() + failuresAreTold() }
