// The plain HTTP client's parser: see the scenario. Each deliberate mistake in it must be caught.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { huntMutant } from '../helpers/source-mutants.ts'
import { run } from './gateway-response-scenario.ts'

const file = 'src/gateway/response-parser.ts'
const scenario = new URL('./gateway-response-scenario.ts', import.meta.url)
const seeds = { from: 1, to: 3000 }

test('answers are read as they were meant, and doubtful ones refused, however they are cut', () => {
  for (let seed = seeds.from; seed <= seeds.to; seed++) {
    try { run(seed) } catch (error) { throw new Error(`seed ${seed}`, { cause: error }) }
  }
})

const mutants: Readonly<Record<string, readonly [from: string, to: string]>> = {
  'a length beside chunks': ['if (isChunked && lengthBytes >= 0) throw', 'if (isChunked && lengthBytes < -1) throw'],
  'a second length': ['if (lengthBytes >= 0 || !', 'if (!'],
  'any encoding': ['if (isChunked || value.toLowerCase() !== \'chunked\') throw', 'if (isChunked) throw'],
  'bytes behind the end': ['this.#tell(this.#isReusable && next === data.length)', 'this.#tell(this.#isReusable)'],
  'the end of a chunk unseen': ['if (data[at] !== 0x0d || data[at + 1] !== 0x0a) throw', 'if (data.length < 0) throw'],
  'memory of the caller kept': ['this.#carry = Buffer.from(data.subarray(at))', 'this.#carry = data.subarray(at)'],
  'controls in a head': ['if (forbidden.test(text)) throw new ResponseError(\'a control character in an answer\\\'s head\')', ''],
  'close unheard': ['token.trim() === \'close\'', 'token === \'close\''],
  'the length of a 204 believed': ['const isBodyless = this.#isHead || status === 204 || status === 304', 'const isBodyless = this.#isHead || status === 304'],
  'a doubtful 304 reused': ['if (isBodyless && !this.#isHead && (framing.isChunked || framing.lengthBytes > 0)) this.#isReusable = false', ''],
  'HTTP/1.0 reused': ['this.#isReusable = isPersistent && !framing.isClosing', 'this.#isReusable = !framing.isClosing'],
  'blanks kept': ['return code === 0x20 || code === 0x09', 'return code === 0x20'],
  'an interim answer taken for the real one': ['if (status < 200) this.#informs(status)', 'if (status < 103) this.#informs(status)'],
  'trailers taken for the next answer': ['readHeaders(\'\\r\\n\' + text, 0)\n    this.#complete()\n    return end + 4', 'this.#complete()\n    return at']
}

for (const [name, change] of Object.entries(mutants)) {
  test(`the scenario catches: ${name}`, async () => {
    const { killedBy } = await huntMutant({ file, changes: [change] }, scenario, seeds)
    assert.notEqual(killedBy, undefined)
    assert.doesNotMatch(killedBy ?? '', /must stand exactly once/)
  })
}
