// Latency at a fixed rate, as independent callers see it: requests come when they come, whether or not earlier ones were
// answered, and waiting for a free connection counts (no coordinated omission). In a thread of its own.
import { Worker } from 'node:worker_threads'
import type { Target } from './saturate.ts'

export interface OpenModelLoad extends Target {
  readonly connections: number
  readonly ratePerS: number
  readonly requests: number
}

export interface OpenModelOutcome {
  readonly requests: number
  readonly seconds: number
  readonly latencyMsP50: number
  readonly latencyMsP99: number
  readonly latencyMsMax: number
}

/** @throws when any answer isn't 200 with the right body, or a connection breaks */
export function runOpenModel ({ port, path, headers, connections, ratePerS, requests }: OpenModelLoad): Promise<OpenModelOutcome> {
  // Named one by one: a contestant is a target with functions, and those don't cross threads.
  const load: OpenModelLoad = { port, path, headers, connections, ratePerS, requests }
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./open-model-thread.ts', import.meta.url), { workerData: load, execArgv: ['--disable-warning=ExperimentalWarning'] })
    worker.once('message', (outcome: OpenModelOutcome) => { resolve(outcome); void worker.terminate() })
    worker.once('error', reject)
    worker.once('exit', () => { reject(new Error('the load thread ended without a result')) })
  })
}
