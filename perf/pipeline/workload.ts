// Who called what: events as a courier company's API would leave them, always the same for the same number.
import type { Answer } from '../../src/gateway/meter.ts'
import type { Caller } from '../../src/gateway/authentication.ts'
import { gradeTypes } from '../../src/domain/usage-event.ts'
import { seededRandom } from '../../test/helpers/seeded-random.ts'

export const memberCount = 200
const keysPerMember = 2
const endpointCount = 20

const agents = ['okhttp/4.12.0', 'python-requests/2.32.3', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36', 'curl/8.9.1', 'Dart/3.4 (dart:io)']

/** A price book with `endpointCount` endpoints, all of which are called. */
export function pricesText (): string {
  const endpoints = Array.from({ length: endpointCount }, (_, index) => `  - { id: ${index + 1}, group: ${1 + index % 3}, method: ${index % 4 === 0 ? 'POST' : 'GET'}, path: "/api/v1/resource${index}/{id}" }`)
  return `currency: KRW
groups:
  - { id: 1, name: reads, prices: [{ cost: "3" }] }
  - { id: 2, name: writes, prices: [{ cost: "10" }] }
  - { id: 3, name: exports, prices: [{ cost: "0.25" }] }
endpoints:
${endpoints.join('\n')}
`
}

/** Makes one answer after another; about one in 50 is the upstream's 4xx, which is billed too. */
export class Workload {
  readonly #random = seededRandom(42)
  readonly #callers: readonly Caller[]
  readonly #isDistinct: boolean
  #made = 0

  /** @param rows of so many answers each is an hourly row of its own; left out: few keys call often */
  constructor (callerOf: (memberId: number, apiKeyId: number) => Caller, rows?: number) {
    this.#isDistinct = rows !== undefined
    const keys = rows === undefined ? memberCount * keysPerMember : Math.ceil(rows / endpointCount)
    this.#callers = Array.from({ length: keys }, (_, index) => callerOf(1 + index % memberCount, 1 + index))
  }

  next (requestTimeMs: number, traceId: string): Omit<Answer, 'priceBook'> {
    const random = this.#random
    const pick = (count: number): number => Math.floor(random() * count)
    const number = this.#made++
    const endpoint = this.#isDistinct ? number % endpointCount : pick(endpointCount)
    // Some call much more than others.
    const caller = this.#isDistinct ? Math.floor(number / endpointCount) : Math.floor(random() ** 2 * this.#callers.length)
    return {
      requestTimeMs,
      responseTimeMs: requestTimeMs + pick(30),
      method: endpoint % 4 === 0 ? 'POST' : 'GET',
      path: `/api/v1/resource${endpoint}/${1000 + pick(9000)}`,
      status: pick(50) === 0 ? 404 : 200,
      errorCode: undefined,
      clientIp: `10.${pick(4)}.${pick(256)}.${1 + pick(254)}`,
      clientAgent: agents[pick(agents.length)] ?? '',
      caller: this.#callers[caller],
      traceId,
      traceparent: `00-${traceId.replaceAll('-', '')}-00f067aa0ba902b7-01`,
      routeId: 'api',
      requestBytes: pick(2_000),
      responseBytes: 100 + pick(20_000),
      upstreamLatencyMs: pick(30),
      units: 1
    }
  }
}

export const gradeOf = (apiKeyId: number): typeof gradeTypes[number] => gradeTypes[apiKeyId % gradeTypes.length] ?? 'GRADE_FREE'
