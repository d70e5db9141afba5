// Bodies of one size, one way, as many at a time as there are connections; each byte compared at the other end. In a thread of
// its own.
import { Worker } from 'node:worker_threads'

export interface BodiesLoad {
  readonly port: number
  readonly headers: Readonly<Record<string, string>>
  /** down: the answer's body; up: the request's. */
  readonly direction: 'down' | 'up'
  readonly bodyBytes: number
  readonly connections: number
  readonly transfers: number
}

export interface BodiesOutcome { readonly requests: number, readonly seconds: number }

/** @throws when any answer isn't 200, a byte is wrong or missing at its end, or a connection breaks */
export function runBodies (load: BodiesLoad): Promise<BodiesOutcome> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./bodies-thread.ts', import.meta.url), { workerData: load, execArgv: ['--disable-warning=ExperimentalWarning'] })
    worker.once('message', (outcome: BodiesOutcome) => { resolve(outcome); void worker.terminate() })
    worker.once('error', reject)
    worker.once('exit', () => { reject(new Error('the load thread ended without a result')) })
  })
}
