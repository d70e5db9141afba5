// Worker threads as this program uses them: started once, asked over rpc, stopped by a request that drains. A thread
// that ends by itself is a programmer error and takes the process down; the supervisor starts it again.
import { isSea } from 'node:sea'
import { Worker, parentPort, workerData } from 'node:worker_threads'
import type { TransferListItem } from 'node:worker_threads'
import type { MetricObjectWithValues, MetricValue } from 'prom-client'
import { clockFrom } from './clock.ts'
import type { Clock, ClockSpec } from './clock.ts'
import { armCrashPoint } from './crash-points.ts'
import type { CrashPointSpec } from './crash-points.ts'
import { collectGarbage } from './garbage.ts'
import { openLogger } from './logger.ts'
import type { Logger, LogLevel } from './logger.ts'
import { packedScript, prepareNative } from './native.ts'
import { openRpc } from './thread-rpc.ts'
import type { Handlers, Rpc } from './thread-rpc.ts'

/** What every thread is given beside its own options. */
export interface ThreadEnvironment {
  readonly logLevel: LogLevel
  readonly clock: ClockSpec
  readonly crashPoint: CrashPointSpec | undefined
}

/** Tied to progress, not to being alive: `isReady` false means new work would not get done. */
export interface Health {
  readonly isReady: boolean
  readonly reasons: readonly string[]
  /** It has not moved for so long that only a new start helps: for parts of which somebody else tells how they are. */
  readonly isStuck?: boolean
}

export type MetricsJson = readonly MetricObjectWithValues<MetricValue<string>>[]

/** The worker's side: what a thread's own module returns once it is ready to work. */
export interface ThreadService {
  readonly health: () => Health
  readonly metrics: () => Promise<MetricsJson>
  /** Drains and closes everything; the thread ends when the promise settles and nothing references it any more. */
  readonly stop: () => Promise<void>
  readonly handlers?: Handlers
}

export interface ThreadContext<Options> {
  readonly options: Options
  readonly log: Logger
  readonly clock: Clock
}

interface ThreadData { readonly name: string, readonly environment: ThreadEnvironment, readonly options: unknown }

/** Called once at the end of a thread's entry file. `start` resolves when the thread is ready. */
export function runThread<Options> (start: (context: ThreadContext<Options>) => Promise<ThreadService>): void {
  const port = parentPort
  if (port === null) throw new Error('this file is the entry of a worker thread; start the program with bin/tollgate')
  const { name, environment, options } = workerData as ThreadData
  armCrashPoint(environment.crashPoint)
  const log = openLogger({ level: environment.logLevel, thread: name })
  let service: ThreadService | undefined
  const ready = (): ThreadService => {
    if (service === undefined) throw new Error(`thread ${name} is not ready`)
    return service
  }
  const handlers: Record<string, (argument: never) => unknown> = {
    start: async () => {
      service = await start({ options: options as Options, log, clock: clockFrom(environment.clock) })
      Object.assign(handlers, service.handlers)
      collectGarbage()
    },
    health: () => ready().health(),
    metrics: () => ready().metrics(),
    stop: async () => {
      await service?.stop()
      // Answered first, then the port goes: an open port would keep the thread alive.
      setImmediate(() => { port.close() })
    }
  }
  openRpc(port, handlers)
}

export interface ThreadHandle {
  readonly name: string
  readonly rpc: Rpc
  readonly health: () => Promise<Health>
  readonly metrics: () => Promise<MetricsJson>
  /** Resolves when the thread has drained and ended. */
  readonly stop: () => Promise<void>
}

export interface ThreadStart {
  readonly name: string
  /** The entry file: `new URL('./thread.ts', import.meta.url)`. */
  readonly entry: URL
  readonly environment: ThreadEnvironment
  readonly options: unknown
  readonly transfer?: readonly TransferListItem[]
  /** Called when the thread ends without having been asked to. */
  readonly onDeath: (name: string, error: Error) => void
}

/** Starts a thread and waits until it is ready; rejects with its own error when it can't. */
export async function startThread ({ name, entry, environment, options, transfer, onDeath }: ThreadStart): Promise<ThreadHandle> {
  prepareNative()
  // In the packaged file an entry is the name of a script inside it.
  const worker = new Worker(isSea() ? packedScript(entry.pathname) : entry, {
    eval: isSea(),
    name,
    workerData: { name, environment, options } satisfies ThreadData,
    transferList: [...(transfer ?? [])],
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdin: false
  })
  const rpc = openRpc(worker, {})
  let isStopping = false
  let hasStarted = false
  let failure: Error | undefined
  worker.on('error', (error) => { failure = error instanceof Error ? error : new Error(String(error)) })
  const ended = new Promise<void>((resolve) => {
    worker.on('exit', (code) => {
      const error = failure ?? new Error(`thread ${name} ended with code ${code}`)
      rpc.fail(error)
      resolve()
      if (!isStopping && hasStarted) onDeath(name, error)
    })
  })
  try {
    await rpc.ask('start')
  } catch (error) {
    isStopping = true
    await worker.terminate()
    throw error
  }
  hasStarted = true
  return {
    name,
    rpc,
    health: () => rpc.ask('health'),
    metrics: () => rpc.ask('metrics'),
    stop: async () => {
      isStopping = true
      await rpc.ask('stop')
      await ended
    }
  }
}
