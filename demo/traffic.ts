// Real traffic with autocannon, counted as the client saw it: an answer counts when it has arrived whole.
import autocannon from 'autocannon'

export interface Caller {
  readonly name: string
  /** Sent as X-API-KEY; undefined sends none. */
  readonly token: string | undefined
}

export interface Load {
  readonly url: string
  readonly caller: Caller
  readonly connections: number
  /** Requests a second over all connections; undefined: as fast as it goes. */
  readonly ratePerS?: number
  /** Ends after so many answers. */
  readonly amount: number
  /** One in so many requests goes to the endpoint that always fails; 0: none. */
  readonly brokenEach: number
}

/** Complete answers by status code, and requests without one. */
export class Counts {
  readonly byStatus = new Map<number, number>()
  unanswered = 0

  get answered (): number { return [...this.byStatus.values()].reduce((sum, count) => sum + count, 0) }

  count (status: number): void { this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + 1) }

  add (other: Counts): void {
    for (const [status, count] of other.byStatus) this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + count)
    this.unanswered += other.unanswered
  }
}

const api = '/api/v1/location'

function requestsOf (brokenEach: number): autocannon.Request[] {
  const body = JSON.stringify({ latitude: 52.52, longitude: 13.405 })
  const headers = { 'content-type': 'application/json' }
  const tour: autocannon.Request[] = [
    { method: 'POST', path: `${api}/generate-token`, headers, body },
    { method: 'POST', path: `${api}/start`, headers, body },
    ...Array.from({ length: 6 }, (): autocannon.Request => ({ method: 'POST', path: `${api}/tracking/t1`, headers, body })),
    { method: 'POST', path: `${api}/end/t1`, headers, body }
  ]
  if (brokenEach === 0) return tour
  const all: autocannon.Request[] = []
  while (all.length < brokenEach - 1) all.push(...tour)
  return [...all.slice(0, brokenEach - 1), { method: 'GET', path: `${api}/broken` }]
}

/** Runs one caller's load to its end; `onCounts` is called with the live counts while it runs. */
export function drive (load: Load, live: Counts): Promise<Counts> {
  const counts = new Counts()
  return new Promise((resolve, reject) => {
    const instance = autocannon({
      url: load.url,
      connections: load.connections,
      requests: requestsOf(load.brokenEach),
      headers: load.caller.token === undefined ? {} : { 'x-api-key': load.caller.token },
      timeout: 30,
      ...(load.ratePerS === undefined ? {} : { overallRate: load.ratePerS }),
      amount: load.amount
    }, (error, result) => {
      if (error !== null && error !== undefined) { reject(error instanceof Error ? error : new Error(String(error))); return }
      counts.unanswered = result.errors + result.timeouts
      live.unanswered += counts.unanswered
      resolve(counts)
    })
    instance.on('response', (_client, status) => { counts.count(status); live.count(status) })
  })
}
