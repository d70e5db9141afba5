// Asks the running program over its control socket.
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { TollgateError } from '../domain/errors.ts'
import { RemoteError } from '../platform/thread-rpc.ts'

export type ControlAnswer = { readonly isRunning: true, readonly result: unknown } | { readonly isRunning: false }

/**
 * `isRunning` false: nobody listens on the socket. Waits as long as the command takes.
 * @throws RemoteError with the program's code, TollgateError CONTROL_FAILED when it ended before it answered
 */
export async function askProgram (socketFile: string, command: string, argument: unknown): Promise<ControlAnswer> {
  let answer: string
  try {
    answer = await post(socketFile, `/v1/${command}`, JSON.stringify(argument ?? {}))
  } catch (error) {
    const { code } = error as { readonly code?: string }
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return { isRunning: false }
    if (code === 'EACCES') throw new TollgateError('STATE_UNWRITABLE', `the control socket ${socketFile} belongs to another user`, { cause: error })
    throw new TollgateError('CONTROL_FAILED', `the running program did not answer: ${(error as Error).message}`, { cause: error })
  }
  const content = parse(answer)
  if (content.error !== undefined) throw new RemoteError(content.error.message, content.error.code)
  return { isRunning: true, result: content.result }
}

interface Content { readonly result?: unknown, readonly error?: { readonly code: string, readonly message: string } }

function parse (answer: string): Content {
  try {
    return JSON.parse(answer) as Content
  } catch (error) {
    throw new TollgateError('CONTROL_FAILED', 'the running program gave no readable answer', { cause: error })
  }
}

function post (socketPath: string, path: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const asked = request({ socketPath, path, method: 'POST', headers, agent: false }, (response: IncomingMessage) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => { pieces.push(piece) })
      response.once('error', reject)
      response.once('end', () => { resolve(Buffer.concat(pieces).toString('utf8')) })
    })
    asked.once('error', reject)
    asked.end(body)
  })
}
