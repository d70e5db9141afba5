// One run of a relay between an upstream and a client that both do as they please: the client gets every byte once and in
// order, never the last one before the release, and what is held in memory stays bounded. Nothing gets stuck.
import assert from 'node:assert/strict'
import type { HttpResponse } from 'uWebSockets.js'
import type { Batch, Deferred } from '../../src/gateway/batch.ts'
import { Relay } from '../../src/gateway/relay.ts'
import { seededRandom } from '../helpers/seeded-random.ts'

/** Two pieces, and a hundred tries of a kibibyte. */
const bufferedBytesMax = 132 * 1024

const upTo = (random: () => number, max: number): number => Math.floor(random() * (max + 1))

/** What the server's cork holds, and what frames a piece at most. */
const corkBytesMax = 16 * 1024
const frameBytes = 8

/** The server's response as it behaves: what it takes, what it buffers, what it drops, and what it takes for an end. */
class Client {
  received: Buffer[] = []
  isEnded = false
  hasHead = false
  /** Bytes that the kernel hasn't taken yet. */
  bufferedBytes = 0
  /** It said that it hadn't taken something at once. */
  hasRefused = false
  lastCorkBytes = 0
  #corkedBytes = 0
  #isCorked = false
  #offset = 0
  #onWritable: ((offset: number) => boolean) | undefined
  readonly #random: () => number
  constructor (random: () => number) { this.#random = random }

  get bytes (): Buffer { return Buffer.concat(this.received) }
  get wantsWritable (): boolean { return this.#onWritable !== undefined && !this.isEnded }

  cork (action: () => void): void {
    this.lastCorkBytes = 0
    this.#isCorked = true
    action()
    this.#isCorked = false
    this.#flushCork()
  }

  onWritable (handler: (offset: number) => boolean): void { this.#onWritable = handler }
  writable (): void { assert.equal(this.#onWritable?.(this.#offset), true) }
  getWriteOffset (): number { return this.#offset }

  /** Into a socket that has nothing to do yet. */
  writeHead (bytes: number): void {
    assert.ok(!this.hasHead && this.#isCorked)
    this.hasHead = true
    this.#corkedBytes = bytes % corkBytesMax
  }

  tryEnd (chunk: Buffer, totalBytes: number): [boolean, boolean] {
    assert.ok(!this.isEnded && this.hasHead)
    if (chunk.length === 0) { this.isEnded = true; return [true, true] }
    const taken = this.#random() < 0.6 ? chunk.length : upTo(this.#random, chunk.length - 1)
    this.received.push(Buffer.from(chunk.subarray(0, taken)))
    this.#offset += taken
    this.lastCorkBytes += taken
    if (taken < chunk.length) this.hasRefused = true
    this.isEnded = this.#offset === totalBytes
    return [taken === chunk.length, this.isEnded]
  }

  write (chunk: Buffer): boolean {
    assert.ok(!this.isEnded && this.hasHead)
    this.lastCorkBytes += chunk.length
    const isTaken = this.#take(chunk.length, frameBytes)
    if (isTaken !== 'dropped') this.received.push(Buffer.from(chunk))
    if (isTaken !== 'taken') this.hasRefused = true
    return isTaken === 'taken'
  }

  end (_body?: undefined, closesConnection = false): void {
    assert.ok(!this.isEnded && this.hasHead)
    assert.ok(!closesConnection, 'the server would write a header behind the body')
    assert.notEqual(this.#take(7, 0), 'dropped', 'the server drops the end')
    this.isEnded = true
  }

  #take (bytes: number, framedWith: number): 'taken' | 'buffered' | 'dropped' {
    assert.ok(this.#isCorked, 'a system call for each part of a frame')
    if (this.bufferedBytes > 0 && !this.#isRoom()) {
      this.bufferedBytes += bytes + framedWith
      return 'buffered'
    }
    this.bufferedBytes = 0
    this.#corkedBytes += framedWith
    if (this.#corkedBytes + bytes <= corkBytesMax) { this.#corkedBytes += bytes; return 'taken' }
    // As AsyncSocket::uncork does: what doesn't fit is forgotten when what was corked isn't taken.
    this.#flushCork()
    if (this.bufferedBytes > 0) return 'dropped'
    if (this.#isRoom()) return 'taken'
    this.bufferedBytes = bytes
    return 'buffered'
  }

  #flushCork (): void {
    if (this.#corkedBytes + this.bufferedBytes > 0) this.bufferedBytes = this.#isRoom() ? 0 : this.bufferedBytes + this.#corkedBytes
    this.#corkedBytes = 0
  }

  #isRoom (): boolean { return this.#random() < 0.6 }
}

export function run (seed: number): void {
  const random = seededRandom(seed)
  const isCounted = random() < 0.5
  const body = Buffer.from(Array.from({ length: 1 + upTo(random, random() < 0.3 ? 600_000 : 3000) }, (_, at) => at % 251))
  const client = new Client(random)
  const deferred: Deferred[] = []
  let [isPaused, isComplete, isReleased, doneCount, at] = [false, false, false, 0, 0]
  const isLast = random() < 0.5
  let [isServerInside, lastCount] = [false, 0]
  /** Told although it was paused: what had been read by then. */
  let lateCount = 0
  const relay = new Relay(client as unknown as HttpResponse, {
    batch: { add: (item: Deferred) => { deferred.push(item) } } as unknown as Batch,
    totalBytes: isCounted ? body.length : -1,
    ends: {
      pauseUpstream: () => { isPaused = true },
      resumeUpstream: () => { isPaused = false; lateCount = 0 },
      onDone: () => { doneCount++ },
      onError: (error) => { throw error }
    },
    giveLast: isLast
      ? (give, rest) => {
          assert.ok(!isServerInside, 'the connection ends inside the server\'s handler')
          if (!give()) return
          lastCount++
          assert.equal(rest(), client.hasRefused ? 'likely' : 'unlikely')
        }
      : undefined
  }, () => { client.writeHead(upTo(random, 20_000)) })

  const pushSome = (): void => {
    const size = random() < 0.1 ? 0 : Math.min(body.length - at, 1 + upTo(random, 70_000))
    // The memory is used again as soon as it has been told.
    const told = Buffer.from(body.subarray(at, at + size))
    relay.push(told)
    told.fill(0xff)
    at += size
  }
  const steps: readonly (() => boolean)[] = [
    () => {
      if (at === body.length || (isPaused && (lateCount > 0 || random() < 0.8))) return false
      if (isPaused) lateCount++
      pushSome()
      return true
    },
    () => { if (at < body.length || isComplete) return false; relay.complete(); isComplete = true; return true },
    () => { if (!isComplete || isReleased) return false; isReleased = true; relay.release(); return true },
    () => { const item = deferred.shift(); item?.turn(); return item !== undefined },
    () => { if (!relay.isBlocked || random() < 0.5) return false; relay.nudge(); return true },
    () => { if (!client.wantsWritable || !(relay.isBlocked || random() < 0.1)) return false; isServerInside = true; client.writable(); isServerInside = false; return true }
  ]
  for (let idle = 0; doneCount === 0;) {
    const isStep = (steps[upTo(random, steps.length - 1)] as () => boolean)()
    idle = isStep ? 0 : idle + 1
    assert.ok(idle < 200, `stuck: ${client.bytes.length} of ${body.length} bytes, blocked ${String(relay.isBlocked)}, paused ${String(isPaused)}`)
    assert.ok(isReleased || !client.isEnded, 'ended before its release')
    if (isCounted) assert.ok(isReleased || client.bytes.length < body.length, 'the last byte left before the release')
    assert.ok(at - client.bytes.length <= 64 * 1024 + 3 * 70_001, `${at - client.bytes.length} bytes in memory`)
    assert.ok(client.bufferedBytes <= bufferedBytesMax, 'the server buffers more than two pieces and what a client that takes nothing is tried with')
  }
  assert.ok(client.isEnded && client.bytes.equals(body), 'another body than was sent')
  assert.equal(relay.sentBytes, body.length)
  assert.ok(relay.takenBytes <= relay.sentBytes)
  assert.deepEqual([doneCount, isReleased, lastCount], [1, true, isLast ? 1 : 0])
  if (isLast) assert.ok(isCounted ? client.lastCorkBytes === 1 : client.lastCorkBytes <= 1, 'the last byte doesn\'t show that what came before has left')
}
