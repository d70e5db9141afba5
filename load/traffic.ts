// Requests at a fixed rate, and what became of each: an answer counts when its last byte is here.
import type { Socket } from 'node:net'
import autocannon from 'autocannon'

export class Outcome {
  readonly byStatus = new Map<number, number>()
  /** Sent, perhaps, without a whole answer: billed at most once each. */
  unanswered = 0
  /** Nobody took the connection: never sent, never billed. */
  unconnected = 0

  /** What the API answered; the gateway's own refusals (no key, over the rate, out of order) and 5xx are not billed. */
  get billable (): number {
    return [...this.byStatus].reduce((sum, [status, count]) => sum + (status < 500 && status !== 401 && status !== 429 ? count : 0), 0)
  }

  add (other: Outcome): void {
    for (const [status, count] of other.byStatus) this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + count)
    this.unanswered += other.unanswered
    this.unconnected += other.unconnected
  }
}

/** As autocannon's clients are; its types don't say so. */
interface Client { readonly reqsMade: number, readonly conn: Socket, readonly on: (event: 'request', listener: () => void) => void }

export interface Stream { readonly url: string, readonly path: string, readonly token: string, readonly ratePerS: number, readonly seconds: number }

/** A stream ends by its number of requests, never in the middle of one: whoever is cut off waits for no answer. */
export function drive ({ url, path, token, ratePerS, seconds }: Stream): Promise<Outcome> {
  const outcome = new Outcome()
  // How many requests each has written is nowhere else: a connection that just ends is no error to autocannon, and it goes on.
  const clients: Client[] = []
  return new Promise((resolve, reject) => {
    const instance = autocannon({
      url,
      connections: Math.min(8, Math.max(1, Math.round(ratePerS / 10))),
      requests: [{ method: 'GET', path, headers: { 'x-api-key': token } }],
      overallRate: ratePerS,
      amount: ratePerS * seconds,
      timeout: 30,
      setupClient: (given) => {
        const client = given as unknown as Client
        clients.push(client)
        // A request is written before anybody has taken its connection: it was sent when somebody does, and never otherwise.
        client.on('request', () => {
          const { conn } = client
          if (!conn.connecting) return
          outcome.unconnected++
          conn.once('connect', () => { outcome.unconnected-- })
        })
      }
    }, (error) => {
      if (error !== null && error !== undefined) { reject(error instanceof Error ? error : new Error(String(error))); return }
      const answered = [...outcome.byStatus.values()].reduce((sum, count) => sum + count, 0)
      outcome.unanswered = clients.reduce((sum, { reqsMade }) => sum + reqsMade, 0) - answered - outcome.unconnected
      resolve(outcome)
    })
    instance.on('response', (_client, status) => { outcome.byStatus.set(status, (outcome.byStatus.get(status) ?? 0) + 1) })
  })
}
