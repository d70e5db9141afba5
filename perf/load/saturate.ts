// As many requests as are answered, from autocannon's worker threads. A number of requests, not a time: so every request
// that was sent is answered, and the bill can be compared with the answers exactly.
import path from 'node:path'
import autocannon from 'autocannon'
import { answerBody } from '../contestants/answer.ts'

/** Threads that make load. With one, it is autocannon that is measured. */
export const loadThreads = 2

/** What is asked. */
export interface Asked { readonly path: string, readonly headers: Readonly<Record<string, string>> }

export interface Target extends Asked {
  readonly port: number
  /** Asked in turn over all connections, instead of one and the same. */
  readonly turn?: readonly Asked[]
}

/** Given to take-turns.ts in each of autocannon's threads. */
export interface Turn {
  readonly requests: readonly Asked[]
  readonly connections: number
  /** In shared memory: how many connections have taken their share. */
  readonly taken: Int32Array
}

type SetUpClient = NonNullable<autocannon.Options['setupClient']>
/** autocannon takes a file's name for a function where it has threads; its types don't know. */
const takeTurns = path.join(import.meta.dirname, 'take-turns.ts') as unknown as SetUpClient

function turnOptions ({ turn }: Target, connections: number): { readonly setupClient?: SetUpClient, readonly turn?: Turn } {
  return turn === undefined ? {} : { setupClient: takeTurns, turn: { requests: turn, connections, taken: new Int32Array(new SharedArrayBuffer(4)) } }
}

export interface LoadOutcome {
  readonly requests: number
  readonly seconds: number
  readonly latencyMsP50: number
  readonly latencyMsP99: number
}

/**
 * Sends `requests` requests, rounded so that every connection sends the same number.
 * @throws when any answer isn't 200 with the right body
 */
export async function saturate (target: Target, { connections, requests }: { readonly connections: number, readonly requests: number }): Promise<LoadOutcome> {
  const amount = Math.max(1, Math.round(requests / connections)) * connections
  const result = await autocannon({
    url: `http://127.0.0.1:${target.port}${target.path}`,
    headers: { ...target.headers },
    connections,
    amount,
    workers: loadThreads,
    ...turnOptions(target, connections),
    expectBody: answerBody,
    // The end of a run is seen at a sample only: a long interval would blur the rate.
    sampleInt: 20,
    // A machine may be busy with other things: being slow is no mistake.
    timeout: 120
  })
  const wrong = { 'not 2xx': result.non2xx, 'wrong body': result.mismatches, 'time-out': result.timeouts, error: result.errors }
  const problems = Object.entries(wrong).filter(([, count]) => count > 0).map(([what, count]) => `${what}: ${count}`)
  if (result['2xx'] !== amount) problems.push(`${result['2xx']} of ${amount} answers`)
  if (problems.length > 0) throw new Error(`answers of ${target.path} on port ${target.port} were not all right: ${problems.join(', ')}`)
  return { requests: amount, seconds: result.duration, latencyMsP50: result.latency.p50, latencyMsP99: result.latency.p99 }
}
