// Takes a frame's body apart into its lines and finds in each what a record needs. Lines were made by our own encoder and
// chained by the journal, and a checksum says that they are unchanged: fields stand where the encoder puts them, and bytes
// such as `,"apiKeyId":` can't stand within a text, whose quotes are escaped. So nothing is parsed as JSON. What is found is
// held against the frame's header: which partition, which seq, which one before it.
import { partitionOf } from '../domain/partition.ts'
import { lastSeqOf, partitionsOf } from '../journal/frame.ts'
import type { FrameHeader } from '../journal/frame.ts'

export interface EventLine {
  /** Where the line stands in the body, without its line feed. */
  start: number
  end: number
  partition: number
  key: string
  gatewayId: string
  requestTime: string
  seq: number
  prevSeq: number
}

const lineFeed = 0x0a
const brace = 0x7d
const comma = 0x2c
const quote = 0x22
const zero = 0x30
const timeBytes = 24
const requestTimeField = Buffer.from('"requestTime":"')
/** Where the encoder puts it: behind an eventId of 36 characters. */
const requestTimeOffset = Buffer.byteLength('{"eventId":"",') + 36
const apiKeyIdField = Buffer.from(',"apiKeyId":')
const gatewayIdField = Buffer.from(',"gatewayId":"')
const prevSeqField = Buffer.from('"prevSeq":')
const seqField = Buffer.from('"seq":')
/** Keys whose partition is remembered. */
const keysMax = 65_536

interface KnownKey { readonly text: string, readonly partition: number }
interface Run { count: number, lastSeq: number }

export class EventLines {
  readonly #line: EventLine = { start: 0, end: 0, partition: 0, key: '', gatewayId: '', requestTime: '', seq: 0, prevSeq: 0 }
  readonly #keys = new Map<number, KnownKey>()
  #keysPartitions = 0
  #stream = { streamId: '', gatewayId: '', partition: 0 }

  /**
   * Calls `take` for each line; the object is used again for the next one.
   * @throws Error when lines and header don't agree: a mistake in this program, not in the data
   */
  read (header: FrameHeader, body: Buffer, take: (line: EventLine) => void): void {
    this.#begin(header, body)
    const runs = new Map<number, Run>(header.runs.map(({ partition, prevSeq }) => [partition, { count: 0, lastSeq: prevSeq }]))
    const line = this.#line
    let nextKeyAt = -1
    let at = 0
    for (let seq = header.firstSeq; at < body.length; seq++) {
      const end = body.indexOf(lineFeed, at)
      if (end < 0) throw disagreement(header, seq, 'a line has no end')
      line.start = at
      line.end = end
      line.seq = seq
      // A line without a key must not make every search run through all the lines that follow.
      if (nextKeyAt < at) nextKeyAt = indexOrInfinity(body, apiKeyIdField, at)
      this.#findKey(body, nextKeyAt < end ? nextKeyAt + apiKeyIdField.length : undefined)
      const run = runs.get(line.partition)
      if (run === undefined) throw disagreement(header, seq, `its key ${line.key} belongs to partition ${line.partition}, which the frame does not have`)
      line.prevSeq = run.lastSeq
      run.lastSeq = seq
      run.count++
      checkChain(body, line, header)
      line.requestTime = requestTimeOf(body, line, header)
      take(line)
      at = end + 1
    }
    for (const { partition, count, lastSeq } of header.runs) {
      const run = runs.get(partition) as Run
      if (run.count !== count || run.lastSeq !== lastSeq) throw disagreement(header, lastSeq, `partition ${partition} has ${run.count} lines up to ${run.lastSeq}`)
    }
    if (line.seq !== lastSeqOf(header)) throw disagreement(header, line.seq, 'this is the last line')
  }

  #begin (header: FrameHeader, body: Buffer): void {
    const partitions = partitionsOf(header)
    if (partitions !== this.#keysPartitions || this.#keys.size >= keysMax) this.#keys.clear()
    if (partitions !== this.#keysPartitions || header.streamId !== this.#stream.streamId) {
      const from = body.indexOf(gatewayIdField) + gatewayIdField.length
      const gatewayId = from < gatewayIdField.length ? '' : body.toString('latin1', from, body.indexOf(quote, from))
      if (gatewayId === '') throw disagreement(header, header.firstSeq, 'it names no gateway')
      this.#stream = { streamId: header.streamId, gatewayId, partition: partitionOf(gatewayId, partitions) }
    }
    this.#keysPartitions = partitions
    this.#line.gatewayId = this.#stream.gatewayId
  }

  #findKey (body: Buffer, keyAt: number | undefined): void {
    const line = this.#line
    if (keyAt === undefined) {
      line.key = this.#stream.gatewayId
      line.partition = this.#stream.partition
      return
    }
    let number = 0
    for (let at = keyAt; body[at] !== comma; at++) number = number * 10 + (body[at] as number) - zero
    let known = this.#keys.get(number)
    if (known === undefined) {
      const text = String(number)
      known = { text, partition: partitionOf(text, this.#keysPartitions) }
      this.#keys.set(number, known)
    }
    line.key = known.text
    line.partition = known.partition
  }
}

function indexOrInfinity (body: Buffer, text: Buffer, from: number): number {
  const index = body.indexOf(text, from)
  return index < 0 ? Infinity : index
}

/** The line ends with `,"streamId":"…","seq":N,"prevSeq":M}`: both numbers, read from the end. */
function checkChain (body: Buffer, { end, seq, prevSeq }: EventLine, header: FrameHeader): void {
  let at = end - 1
  if (body[at] !== brace) throw disagreement(header, seq, 'the line is no object')
  at = skipNumber(body, at, prevSeq)
  if (!endsWith(body, at, prevSeqField)) throw disagreement(header, seq, `it does not name ${prevSeq} as the one before`)
  at = skipNumber(body, at - prevSeqField.length - 1, seq)
  if (!endsWith(body, at, seqField)) throw disagreement(header, seq, 'it has another seq')
}

/** @returns where `value`, which ends at `end`, begins; 0 when something else stands there */
function skipNumber (body: Buffer, end: number, value: number): number {
  let at = end
  let rest = value
  do {
    const quotient = Math.floor(rest / 10)
    if (body[--at] !== zero + rest - quotient * 10) return 0
    rest = quotient
  } while (rest > 0)
  return at
}

function endsWith (body: Buffer, end: number, text: Buffer): boolean {
  const start = end - text.length
  if (start < 0) return false
  for (let index = 0; index < text.length; index++) if (body[start + index] !== text[index]) return false
  return true
}

function requestTimeOf (body: Buffer, { start, end, seq }: EventLine, header: FrameHeader): string {
  let at = start + requestTimeOffset + requestTimeField.length
  if (!endsWith(body, at, requestTimeField)) {
    at = body.indexOf(requestTimeField, start) + requestTimeField.length
    if (at < start + requestTimeField.length || at + timeBytes > end) throw disagreement(header, seq, 'it has no requestTime')
  }
  return body.toString('latin1', at, at + timeBytes)
}

function disagreement ({ streamId, segment, offset }: FrameHeader, seq: number, what: string): Error {
  return new Error(`journal segment ${segment}, byte ${offset}, event ${seq} of stream ${streamId}: ${what}`)
}
