// Reads files of an aggregator over its operator listener: closed segments, the archive and what it says of it.
import { createHash } from 'node:crypto'
import { createWriteStream, renameSync, rmSync } from 'node:fs'
import { Agent as HttpAgent, request as requestHttp } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { createInterface } from 'node:readline'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { TollgateError } from '../domain/errors.ts'
import { partialSuffix, publishFile } from '../platform/durable-file.ts'

/** Plain data: crosses threads. */
export interface AggregatorAddress {
  /** Of its operator listener. */
  readonly url: string
  readonly token: string
  /** PEM text of the authority that signed its certificate. */
  readonly ca?: string | undefined
}

export interface WantedFile {
  readonly file: string
  readonly sha256: string
  readonly bytesMax: number
  /** It may be gone after a power cut. */
  readonly isTemporary?: boolean
}

export interface AggregatorFiles {
  readonly url: string
  /** Small answers. @throws TollgateError AGGREGATOR_UNREACHABLE */
  readonly json: (method: 'GET' | 'POST', path: string) => Promise<unknown>
  /** Calls back for each line, one after another. @throws TollgateError AGGREGATOR_UNREACHABLE */
  readonly lines: (path: string, take: (line: string) => Promise<void>) => Promise<void>
  /** `whole`: durable under its name, unless it is temporary, with the wanted hash. @throws TollgateError AGGREGATOR_UNREACHABLE */
  readonly download: (path: string, wanted: WantedFile) => Promise<'whole' | 'absent' | 'differs'>
  readonly close: () => void
}

const jsonBytesMax = 1024 * 1024
/** To one aggregator: its disk is shared with its counting. */
const connectionsMax = 4
/** Silence of so long ends a request. */
const silenceMsMax = 15_000
/** A flush writes what waits before it answers. */
const postSilenceMsMax = 120_000

export function openAggregatorFiles ({ url, token, ca }: AggregatorAddress): AggregatorFiles {
  const base = url.replace(/\/$/, '')
  const isTls = base.startsWith('https:')
  const agent = isTls ? new HttpsAgent({ keepAlive: true, maxSockets: connectionsMax, ...(ca === undefined ? {} : { ca }) }) : new HttpAgent({ keepAlive: true, maxSockets: connectionsMax })
  const unreachable = (reason: string, cause?: unknown): TollgateError => new TollgateError('AGGREGATOR_UNREACHABLE', `${base}: ${reason}`, { cause })

  const ask = (method: 'GET' | 'POST', path: string): Promise<IncomingMessage> => new Promise((resolve, reject) => {
    const options = { method, agent, headers: { authorization: `Bearer ${token}` }, timeout: method === 'POST' ? postSilenceMsMax : silenceMsMax }
    const asked = isTls ? requestHttps(base + path, options) : requestHttp(base + path, options)
    asked.once('response', resolve)
    asked.once('timeout', () => { asked.destroy(new Error('it is silent')) })
    asked.once('error', (error) => { reject(unreachable(error.message, error)) })
    asked.end()
  })

  /** Undefined: there is no such thing. */
  const answer = async (method: 'GET' | 'POST', path: string): Promise<IncomingMessage | undefined> => {
    const response = await ask(method, path)
    if (response.statusCode !== undefined && response.statusCode >= 200 && response.statusCode < 300) return response
    response.resume()
    if (response.statusCode === 404) return undefined
    throw unreachable(`it answers ${path} with ${response.statusCode}`)
  }

  const whole = async <Result>(method: 'GET' | 'POST', path: string, read: (response: IncomingMessage) => Promise<Result>): Promise<Result> => {
    const response = await answer(method, path)
    if (response === undefined) throw unreachable(`it has no ${path}`)
    return await reading(response, read)
  }

  const reading = async <Result>(response: IncomingMessage, read: (response: IncomingMessage) => Promise<Result>): Promise<Result> => {
    try {
      return await read(response)
    } catch (error) {
      response.destroy()
      throw error instanceof TollgateError ? error : unreachable((error as Error).message, error)
    }
  }

  return {
    url: base,
    json: async (method, path) => await whole(method, path, async (response) => {
      const text = await bounded(response)
      return text === '' ? undefined : JSON.parse(text) as unknown
    }),
    lines: async (path, take) => {
      await whole('GET', path, async (response) => {
        for await (const line of createInterface({ input: response })) if (line !== '') await take(line)
        if (!response.complete) throw new Error('the answer was cut')
      })
    },
    download: async (path, wanted) => {
      const response = await answer('GET', path)
      return response === undefined ? 'absent' : await reading(response, async () => await store(response, wanted))
    },
    close: () => { agent.destroy() }
  }
}

async function bounded (response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of response as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > jsonBytesMax) throw new Error(`an answer of more than ${jsonBytesMax} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString()
}

async function store (response: IncomingMessage, { file, sha256, bytesMax, isTemporary }: WantedFile): Promise<'whole' | 'differs'> {
  const hash = createHash('sha256')
  let bytes = 0
  const look = new Transform({
    transform: (piece: Buffer, _encoding, done) => {
      bytes += piece.length
      hash.update(piece)
      if (bytes > bytesMax) done(new Error(`the file has more than its ${bytesMax} bytes`))
      else done(null, piece)
    }
  })
  try {
    await pipeline(response, look, createWriteStream(file + partialSuffix))
    if (hash.digest('hex') !== sha256) return 'differs'
    if (isTemporary === true) renameSync(file + partialSuffix, file)
    else publishFile(file + partialSuffix, file)
    return 'whole'
  } finally {
    rmSync(file + partialSuffix, { force: true })
  }
}
