// Requests at a fixed rate, and what became of each: an answer counts when its last byte is here.
import autocannon from 'autocannon'

export class Outcome {
  readonly byStatus = new Map<number, number>()
  /** Sent, or tried to, without a whole answer: billed at most once each. */
  unanswered = 0

  /** What the API answered; the gateway's own refusals (no key, over the rate, out of order) and 5xx are not billed. */
  get billable (): number {
    return [...this.byStatus].reduce((sum, [status, count]) => sum + (status < 500 && status !== 401 && status !== 429 ? count : 0), 0)
  }

  add (other: Outcome): void {
    for (const [status, count] of other.byStatus) this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + count)
    this.unanswered += other.unanswered
  }
}

export interface Stream { readonly url: string, readonly path: string, readonly token: string, readonly ratePerS: number, readonly seconds: number }

/** A client that is cut waits for no answer, so a stream ends by its number of requests and never in the middle of one. */
export function drive ({ url, path, token, ratePerS, seconds }: Stream): Promise<Outcome> {
  const outcome = new Outcome()
  return new Promise((resolve, reject) => {
    const instance = autocannon({
      url,
      connections: Math.min(8, Math.max(1, Math.round(ratePerS / 10))),
      requests: [{ method: 'GET', path, headers: { 'x-api-key': token } }],
      overallRate: ratePerS,
      amount: ratePerS * seconds,
      timeout: 30
    }, (error, result) => {
      if (error !== null && error !== undefined) { reject(error instanceof Error ? error : new Error(String(error))); return }
      outcome.unanswered = result.errors + result.timeouts
      resolve(outcome)
    })
    instance.on('response', (_client, status) => { outcome.byStatus.set(status, (outcome.byStatus.get(status) ?? 0) + 1) })
  })
}
