// Entry of the journal's thread. It turns the journal's loop, sleeps on a word of shared memory when there is nothing to do,
// and looks at its messages between turns.
import { randomUUID } from 'node:crypto'
import type { MessagePort } from 'node:worker_threads'
import { runThread } from '../platform/thread.ts'
import type { ThreadContext, ThreadService } from '../platform/thread.ts'
import { JournalCounters } from './counters.ts'
import { openDisk } from './disk.ts'
import type { DiskKind } from './disk.ts'
import { Journal } from './journal.ts'
import { JournalState } from './memory.ts'
import type { JournalMemory } from './memory.ts'
import type { JournalOptions } from './options.ts'

export interface JournalThreadOptions {
  readonly journal: JournalOptions
  readonly disk: DiskKind
  readonly memory: JournalMemory
  readonly wakePorts: readonly MessagePort[]
}

/** The longest time between two looks at the thread's messages, and the longest sleep. */
const turnsMs = 50

async function start ({ options, log, clock }: ThreadContext<JournalThreadOptions>): Promise<ThreadService> {
  const { memory, wakePorts } = options
  const counters = new JournalCounters()
  const state = new JournalState(memory.state)
  const wake = (worker: number): void => { wakePorts[worker]?.postMessage(null) }
  const journal = new Journal(options.journal, { disk: openDisk(options.disk), clock, memory, wake, newUuid: randomUUID, log, counters })
  let isStopped = false
  const run = (): void => {
    if (isStopped) return
    const untilMs = clock.monotonicMs() + turnsMs
    for (let restMs = turnsMs; restMs > 0; restMs = untilMs - clock.monotonicMs()) {
      if (!journal.turn()) state.sleep(journal.restMs(restMs), () => journal.hasWork())
    }
    setImmediate(run)
  }
  setImmediate(run)
  return {
    health: () => ({ isReady: state.admission === 'open', reasons: state.admission === 'open' ? [] : [`the journal is ${state.admission}`] }),
    metrics: async () => counters.json({
      usedBytes: journal.usedBytes, bytesMax: options.journal.bytesMax, refusedBytes: journal.refusedBytes, admission: state.admission
    }),
    stop: async () => {
      isStopped = true
      journal.close()
      for (const port of wakePorts) port.close()
    },
    handlers: { mark: () => { journal.askMark() }, startAt: (startMs: number) => { journal.startAt(startMs) } }
  }
}

runThread(start)
