// The body of a request to the program itself, as JSON.
import type { IncomingMessage } from 'node:http'
import { TollgateError } from '../domain/errors.ts'

/** @returns undefined without a body. @throws TollgateError ARGUMENT_INVALID for more than `bytesMax` bytes, and for anything but JSON */
export async function readJsonBody (request: IncomingMessage, bytesMax: number): Promise<unknown> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > bytesMax) throw new TollgateError('ARGUMENT_INVALID', `the body has at most ${bytesMax} bytes`)
    pieces.push(piece)
  }
  if (bytes === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8')) as unknown
  } catch {
    throw new TollgateError('ARGUMENT_INVALID', 'the body must be JSON')
  }
}
