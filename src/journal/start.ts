// Starts the journal's thread and makes what workers and reader need of it.
import { MessageChannel } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { every } from '../platform/clock.ts'
import { startThread } from '../platform/thread.ts'
import type { Health, ThreadEnvironment, ThreadHandle } from '../platform/thread.ts'
import { createAnsweredMemory } from './answered.ts'
import { probeDisk } from './disk.ts'
import type { DiskKind } from './disk.ts'
import { JournalState } from './memory.ts'
import type { JournalMemory } from './memory.ts'
import type { JournalOptions } from './options.ts'
import { Ring } from './ring.ts'
import type { JournalThreadOptions } from './thread.ts'
import type { JournalWorkerSpec } from './worker-side.ts'

export interface JournalStart {
  readonly journal: JournalOptions
  /** Workers of the gateway; each gets a ring of `ringBytes`, a power of two. */
  readonly workers: number
  readonly ringBytes: number
  readonly environment: ThreadEnvironment
  readonly onDeath: (name: string, error: Error) => void
}

/** Goes to the thread that reads the journal; see usage-log/embedded.ts. */
export interface JournalReaderSpec {
  readonly folder: string
  readonly disk: DiskKind
  readonly state: SharedArrayBuffer
}

export interface JournalHandle extends ThreadHandle {
  /** One a worker; its `wakePort` must be transferred to the worker's thread. */
  readonly workers: readonly JournalWorkerSpec[]
  readonly reader: JournalReaderSpec
  /** The last mark of all earlier runs, milliseconds; 0 without any. A clock well behind it is implausible. */
  readonly lastMarkMs: number
}

const progressIntervalMs = 1000
/** A loop that has not turned for so long is stuck, in a write most likely. */
const stuckMs = 5000

/** @throws what Journal throws: JOURNAL_CORRUPT, JOURNAL_TOO_NEW, and the disk's own errors */
export async function startJournal ({ journal, workers, ringBytes, environment, onDeath }: JournalStart): Promise<JournalHandle> {
  const memory: JournalMemory = {
    state: JournalState.create(),
    rings: Array.from({ length: workers }, () => Ring.create(ringBytes)),
    answered: Array.from({ length: workers }, () => createAnsweredMemory())
  }
  const channels = memory.rings.map(() => new MessageChannel())
  const disk = probeDisk(journal.folder)
  const wakePorts = channels.map(({ port1 }) => port1)
  const thread = await startThread({
    name: 'journal', entry: new URL('./thread.ts', import.meta.url), environment, onDeath,
    options: { journal, disk, memory, wakePorts } satisfies JournalThreadOptions, transfer: wakePorts
  })
  const state = new JournalState(memory.state)
  const progress = watchProgress(state)
  return {
    ...thread,
    workers: memory.rings.map((ring, index) => ({
      state: memory.state, ring, answered: memory.answered[index] as SharedArrayBuffer, wakePort: channels[index]?.port2 as MessagePort,
      ack: journal.ack, eventBytesMax: journal.eventBytesMax, partitions: journal.partitions
    })),
    reader: { folder: journal.folder, disk, state: memory.state },
    lastMarkMs: state.durableMarkMs,
    health: async () => progress.health(),
    stop: async () => {
      progress.end()
      await thread.stop()
    }
  }
}

/** Health is told from shared memory: a thread that hangs in a write could not answer. */
function watchProgress (state: JournalState): { readonly health: () => Health, readonly end: () => void } {
  let turns = state.turns
  let stillMs = 0
  const timer = every(progressIntervalMs, () => {
    stillMs = state.turns === turns ? stillMs + progressIntervalMs : 0
    turns = state.turns
  })
  return {
    health: () => {
      const { admission } = state
      if (stillMs >= stuckMs) return { isReady: false, isStuck: true, reasons: [`the journal has not moved for ${stillMs / 1000} s: its disk hangs`] }
      return admission === 'open' ? { isReady: true, reasons: [] } : { isReady: false, reasons: [`the journal is ${admission}`] }
    },
    end: () => { timer.cancel() }
  }
}
