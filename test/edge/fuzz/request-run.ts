// Runs cases of the grammar against a gateway, several at a time, each on a connection of its own and followed by a request on
// another one, which has to get its own answer.
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../../helpers/eventually.ts'
import { RawClient, requestText } from '../../helpers/raw-http.ts'
import type { RawUpstream } from '../raw-upstream.ts'
import { caseKinds, makeCase } from './request-grammar.ts'
import type { FuzzCase } from './request-grammar.ts'
import { AnswerJudge, RequestOracle } from './request-oracle.ts'
import { readBehind, readStrictly } from './strict-reader.ts'
import type { Reading, Rules } from './strict-reader.ts'

export interface FuzzOptions {
  readonly port: number
  readonly upstream: RawUpstream
  readonly rules: Rules
  readonly seed: number
  /** Of `performance.now()`. */
  readonly endMs: number
  /** Only this case. */
  readonly onlyCase: number | undefined
  readonly onProgress: (run: FuzzRun) => void
}

const lanes = 16
/** With nothing heard for so long a case is over that nothing must come of. What an upstream sees later is judged all the same. */
const quietMs = 60
const answerWithinMs = 30_000
const problemsMax = 5
const progressCases = 5_000

export class FuzzRun {
  readonly problems: string[] = []
  readonly kinds = new Map<string, number>(caseKinds.map((kind) => [kind, 0]))
  /** By what the strict reader says of them. */
  readonly readings = new Map<string, number>()
  /** Complete answers of the upstream that clients have. */
  complete = 0
  cases = 0
  readonly oracle = new RequestOracle()
  readonly #options: FuzzOptions
  #next = 0

  constructor (options: FuzzOptions) { this.#options = options }

  async run (): Promise<void> {
    const { onlyCase } = this.#options
    if (onlyCase !== undefined) await this.#case(onlyCase)
    else await Promise.all(Array.from({ length: lanes }, () => this.#lane()))
    // The last ones may still be on their way.
    await sleep(quietMs)
    this.#judgeUpstream()
  }

  get summary (): string {
    const table = (counts: ReadonlyMap<string, number>): string => [...counts].map(([name, count]) => `${count} ${name}`).join(', ')
    return `seed ${this.#options.seed}: ${this.cases} cases (${table(this.kinds)}), read as ${table(this.readings)}; ${this.oracle.seen} requests at the upstream, ${this.oracle.behind} of them behind one whose length was hidden, ${this.complete} complete answers`
  }

  async #lane (): Promise<void> {
    while (performance.now() < this.#options.endMs && this.problems.length < problemsMax) {
      await this.#case(this.#next++)
      if (this.cases % progressCases === 0) this.#options.onProgress(this)
    }
  }

  async #case (index: number): Promise<void> {
    const { seed, rules } = this.#options
    const nonce = `f${seed.toString(36)}i${index.toString(36)}`
    const one = makeCase(Math.imul(seed, 1_000_003) + index, nonce, rules.apiKey)
    const reading = readStrictly(one.bytes, rules)
    const name = `case ${index} (${one.kind}): ${JSON.stringify(one.bytes.slice(0, 3_000))} cut at ${one.cuts.slice(0, 40).join()}`
    this.oracle.expect(name, reading, false)
    for (const each of readBehind(one.bytes, reading, one.cuts, rules)) this.oracle.expect(name, each, true)
    for (const problem of [await this.#send(one, reading), await this.#ask(`/api/${nonce}z`)]) if (problem !== undefined) this.problems.push(`${problem}: ${name}`)
    this.#judgeUpstream()
    this.cases++
    this.kinds.set(one.kind, (this.kinds.get(one.kind) ?? 0) + 1)
    const read = `${reading.requests.map(({ level }) => level).join('+')}${reading.requests.length === 0 ? '' : ' '}${reading.stop.kind}`
    const kind = reading.requests.length > 1 ? `several ${reading.stop.kind}` : read
    this.readings.set(kind, (this.readings.get(kind) ?? 0) + 1)
  }

  async #send ({ bytes, cuts, isReset }: FuzzCase, reading: Reading): Promise<string | undefined> {
    const client = new RawClient(this.#options.port)
    const judge = new AnswerJudge(reading, this.oracle)
    try {
      let at = 0
      for (const cut of cuts) {
        client.send(bytes.slice(at, cut))
        at = cut
        await turn()
      }
      if (isReset) {
        await eventually('all is sent', () => client.isClosed || client.socket.writableLength === 0, { everyMs: 1 })
        return undefined
      }
      const mustAnswer = reading.requests.length === 1 && reading.requests[0]?.level === 'must' && reading.stop.kind === 'clean'
      return await this.#hear(client, judge, mustAnswer)
    } finally {
      this.complete += judge.complete
      client.reset()
    }
  }

  async #hear (client: RawClient, judge: AnswerJudge, mustAnswer: boolean): Promise<string | undefined> {
    let heardMs = performance.now()
    for (;;) {
      const answer = judge.isOver ? undefined : client.peek(judge.isHead)
      if (answer?.isComplete === true) {
        heardMs = performance.now()
        this.#judgeUpstream()
        const problem = judge.judge(await client.answer({ isHead: judge.isHead }))
        if (problem !== undefined || mustAnswer) return problem ?? (judge.complete === 1 ? undefined : `refused with ${answer.status}: ${answer.body.toString('latin1')}`)
        continue
      }
      if (client.isClosed || performance.now() - heardMs > (mustAnswer ? answerWithinMs : quietMs)) break
      await sleep(2)
    }
    return mustAnswer ? `no answer (${client.isClosed ? `closed after ${JSON.stringify(client.received().toString('latin1').slice(0, 300))}` : 'silence'})` : undefined
  }

  /** Another client, who has nothing to do with it. */
  async #ask (target: string): Promise<string | undefined> {
    this.oracle.expectPlain(target)
    const client = new RawClient(this.#options.port)
    try {
      client.send(requestText(`GET ${target}`, { 'X-API-KEY': this.#options.rules.apiKey }))
      const answer = await eventually('an answer', () => { const seen = client.peek(); return seen?.isComplete === true ? seen : client.isClosed ? 'closed' as const : undefined }, { withinMs: answerWithinMs, everyMs: 2 })
      if (answer === 'closed') return 'the next client\'s connection was closed'
      this.complete++
      return answer.status === 200 && answer.body.toString() === target ? undefined : `the next client got ${answer.status} ${answer.body.toString('latin1')}`
    } catch (error) {
      return `the next client: ${(error as Error).message}`
    } finally { client.reset() }
  }

  #judgeUpstream (): void {
    const { upstream } = this.#options
    for (const seen of upstream.seen.splice(0)) {
      const problem = this.oracle.judgeUpstream(seen)
      if (problem !== undefined) this.problems.push(problem)
    }
    for (const problem of upstream.problems.splice(0)) this.problems.push(`sent to the upstream: ${problem}`)
  }
}
