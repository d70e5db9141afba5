// Requests at a fixed rate, and what became of each: an answer counts when its last byte is here.
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

export interface Stream { readonly url: string, readonly path: string, readonly token: string, readonly ratePerS: number, readonly seconds: number }

/** A client that is cut waits for no answer, so a stream ends by its number of requests and never in the middle of one. */
/** A stream ends by its number of requests, never in the middle of one: whoever is cut off waits for no answer. */
export function drive ({ url, path, token, ratePerS, seconds }: Stream): Promise<Outcome> {
  const outcome = new Outcome()
  // How many requests each has written is nowhere else: a connection that just ends is no error to autocannon, and it goes on.
  const clients: { readonly reqsMade: number }[] = []
  return new Promise((resolve, reject) => {
    const instance = autocannon({
      url,
      connections: Math.min(8, Math.max(1, Math.round(ratePerS / 10))),
      requests: [{ method: 'GET', path, headers: { 'x-api-key': token } }],
      overallRate: ratePerS,
      amount: ratePerS * seconds,
      timeout: 30,
      setupClient: (client) => { clients.push(client as unknown as { readonly reqsMade: number }) }
    }, (error) => {
      if (error !== null && error !== undefined) { reject(error instanceof Error ? error : new Error(String(error))); return }
      const answered = [...outcome.byStatus.values()].reduce((sum, count) => sum + count, 0)
      outcome.unanswered = clients.reduce((sum, { reqsMade }) => sum + reqsMade, 0) - answered - outcome.unconnected
      resolve(outcome)
    })
    instance.on('reqError', (failure: { readonly code?: string } | undefined) => { if (failure?.code === 'ECONNREFUSED') outcome.unconnected++ })
    instance.on('response', (_client, status) => { outcome.byStatus.set(status, (outcome.byStatus.get(status) ?? 0) + 1) })
  })
}
