// How long an answered request takes to the bill, when all that can be seen of the bill is how many requests it has: the
// requests of one key come to it in their order, so the n-th answered is there when the count has reached n.
import { setTimeout as sleep } from 'node:timers/promises'
import { answerBody } from '../contestants/answer.ts'

export const markerEveryMs = 100
export const lookEveryMs = 50
const settleMsMax = 60_000

export class Freshness {
  readonly latenciesMs: number[] = []
  readonly #answeredAtMs: number[] = []
  #seen = 0

  get answered (): number { return this.#answeredAtMs.length }
  get seen (): number { return this.#seen }

  answer (atMs: number): void { this.#answeredAtMs.push(atMs) }

  /** @param count of a bill that was asked for before `atMs` @throws when it has more than was ever sent */
  look (count: number, atMs: number, sent: number): void {
    if (count > sent) throw new Error(`${sent} requests were sent, ${count} are on the bill`)
    if (count < this.#seen) throw new Error(`a bill of ${this.#seen} requests has shrunk to ${count}`)
    // What is on the bill before its answer has come is looked at again at the next look: it was never late.
    for (; this.#seen < Math.min(count, this.answered); this.#seen++) this.latenciesMs.push(Math.max(0, atMs - (this.#answeredAtMs[this.#seen] as number)))
  }
}

/** A member whose requests are watched. */
export interface Marker {
  readonly port: number
  readonly path: string
  /** Goes into X-API-KEY. */
  readonly token: string
  /** Asks for its bill over HTTP. @returns requests on it */
  readonly countBilled: () => Promise<number>
}

interface Progress { sent: number, isLoading: boolean }

/** Sends one request after another, one each `markerEveryMs`. */
async function sendMarkers ({ port, path, token }: Marker, freshness: Freshness, progress: Progress): Promise<void> {
  for (let dueMs = performance.now(); progress.isLoading; dueMs += markerEveryMs) {
    await sleep(Math.max(0, dueMs - performance.now()))
    progress.sent++
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { 'x-api-key': token } })
    if (response.status !== 200 || await response.text() !== answerBody) throw new Error(`a marker was answered with ${response.status}`)
    freshness.answer(performance.now())
  }
}

async function watchBill ({ countBilled }: Marker, freshness: Freshness, progress: Readonly<Progress>): Promise<void> {
  const isSeen = (): boolean => !progress.isLoading && freshness.seen >= progress.sent
  for (let idleSinceMs = performance.now(); !isSeen();) {
    const count = await countBilled()
    const before = freshness.seen
    freshness.look(count, performance.now(), progress.sent)
    if (freshness.seen > before || progress.isLoading) idleSinceMs = performance.now()
    if (performance.now() - idleSinceMs > settleMsMax) throw new Error(`${progress.sent - freshness.seen} of ${progress.sent} markers have not come to the bill within ${settleMsMax / 1000} s`)
    await sleep(lookEveryMs)
  }
}

export interface WatchedLoad<Outcome> {
  readonly outcome: Outcome
  readonly markersSent: number
  /** From an answer to the bill, ascending. */
  readonly freshnessMs: readonly number[]
}

/** Sends markers while the load lasts, and looks at their bill until all are on it. @throws when one is answered wrongly or doesn't come to the bill */
export async function watchFreshness<Outcome> (marker: Marker, loading: Promise<Outcome>): Promise<WatchedLoad<Outcome>> {
  const freshness = new Freshness()
  const progress: Progress = { sent: 0, isLoading: true }
  const ended = loading.finally(() => { progress.isLoading = false })
  const [outcome] = await Promise.all([ended, sendMarkers(marker, freshness, progress), watchBill(marker, freshness, progress)])
  return { outcome, markersSent: progress.sent, freshnessMs: freshness.latenciesMs.toSorted((a, b) => a - b) }
}
