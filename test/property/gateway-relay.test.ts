// The relay of long answers: see the scenario. Each deliberate mistake in it must be caught.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { huntMutant } from '../helpers/source-mutants.ts'
import { run } from './gateway-relay-scenario.ts'

const file = 'src/gateway/relay.ts'
const scenario = new URL('./gateway-relay-scenario.ts', import.meta.url)
const seeds = { from: 1, to: 300 }

test('every byte once, in order, the last one after the release, in bounded memory', () => {
  for (let seed = seeds.from; seed <= seeds.to; seed++) {
    try { run(seed) } catch (error) { throw new Error(`seed ${seed}`, { cause: error }) }
  }
})

const mutants: Readonly<Record<string, readonly [from: string, to: string] | readonly (readonly [from: string, to: string])[]>> = {
  'nothing held': ['(this.#isHeld && !this.#isReleased)', '(this.#isHeld && this.#isOver)'],
  'held until complete only': ['return this.#isComplete || (this.#totalBytes >= 0 && this.receivedBytes >= this.#totalBytes)', 'return this.#totalBytes < 0 && this.#isComplete'],
  'what waits not copied': ['this.#queue.push(Buffer.copyBytesFrom(chunk))', 'this.#queue.push(chunk)'],
  'what is left not copied': ['if (this.#queue[0] !== undefined) this.#queue[0] = Buffer.copyBytesFrom(this.#queue[0])', ''],
  'several pieces in a cork': ['this.#response.cork(() => { this.#writeChunk(bytesMax) })', 'this.#response.cork(() => { do { this.#writeChunk(bytesMax) } while (this.#queue.length > 0 && !this.isBlocked) })'],
  'a piece as large as the cork': ['const pieceBytes = 15 * 1024', 'const pieceBytes = 16 * 1024'],
  'the head in a piece\'s cork': ['if (!this.#isHeadWritten) this.#response.cork(() => { this.#beginHead() })', 'const writeHead = this.#writeHead; let isFirst = !this.#isHeadWritten; this.#isHeadWritten = true; if (isFirst) { isFirst = false; this.#response.cork(() => { writeHead(); this.#writeChunk(pieceBytes) }) }'],
  'passed to a client that takes nothing': ['if (this.#totalBytes >= 0 && !this.isBlocked)', 'if (this.#totalBytes >= 0)'],
  'empty pieces passed on': ['if (chunk.length === 0) return', ''],
  'what was taken sent again': ['else this.#queue[0] = chunk.subarray(takenBytes)', 'else this.#queue[0] = chunk'],
  'the upstream never resumed': ['if (!this.isBlocked && !this.#isOver) this.#ends.resumeUpstream()', ''],
  'the upstream never paused': [['this.#hasBlocked = true\n    this.#ends.pauseUpstream()', 'this.#hasBlocked = true'], ['if (this.isBlocked) this.#ends.pauseUpstream()\n    else', 'if (!this.isBlocked)']],
  'chunks not cut': ['const piece = chunk.subarray(0, bytesMax)', 'const piece = chunk'],
  'released without an end': ['this.#response.end()', ''],
  'the last byte among the rest': ['this.#lastByte ??= this.#takeLastByte()', ''],
  'the connection ended in the handler': ['if (this.#giveLast === undefined) this.#useRoom()', 'if (this.#queue.length >= 0) this.#useRoom()'],
  'a client that once took nothing taken for one that took all': ["() => this.#hasBlocked ? 'likely' : 'unlikely'", "() => this.#isOver ? 'unlikely' : 'likely'"],
  'the order to close in the body': ['this.#response.end()', 'this.#response.end(undefined, true)']
}

for (const [name, change] of Object.entries(mutants)) {
  test(`the scenario catches: ${name}`, async () => {
    const { killedBy } = await huntMutant({ file, changes: (typeof change[0] === 'string' ? [change] : change) as readonly (readonly [string, string])[] }, scenario, { from: 1, to: 2000 })
    assert.notEqual(killedBy, undefined)
    assert.doesNotMatch(killedBy ?? '', /must stand exactly once/)
  })
}
