// Connections that are held open and hardly used: each asks at long intervals for something that isn't there, because the
// gateway lets a connection go that is silent for 10 s. In a thread of its own.
import { Worker } from 'node:worker_threads'

export interface IdleOptions {
  readonly port: number
  readonly count: number
  /** Between two requests of one connection. */
  readonly sayEveryMs: number
}

export interface IdleConnections {
  /** @throws when a connection was closed or wrongly answered since they were opened */
  readonly check: () => void
  readonly close: () => Promise<void>
}

/** Resolves when all are open and each had an answer. */
export async function holdConnections (options: IdleOptions): Promise<IdleConnections> {
  const worker = new Worker(new URL('./idle-connections-thread.ts', import.meta.url), { workerData: options, execArgv: ['--disable-warning=ExperimentalWarning'] })
  let failure: Error | undefined
  worker.on('error', (error) => { failure = error })
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => { resolve() })
    worker.once('error', reject)
  })
  return {
    check: () => { if (failure !== undefined) throw new Error(`the idle connections were not held: ${failure.message}`, { cause: failure }) },
    close: async () => { await worker.terminate() }
  }
}
