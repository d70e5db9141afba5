// Commands to the running program, over a Unix socket that only its user can open: `POST /v1/COMMAND` with a JSON body, answered by
// {"result"} or {"error": {"code", "message"}}.
import { chmodSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import process from 'node:process'
import { TollgateError } from '../domain/errors.ts'
import { isCatalogued, problemOf } from '../platform/http-problem.ts'
import { readJsonBody } from '../platform/json-body.ts'
import type { Logger } from '../platform/logger.ts'
import { checkSocketPath } from '../platform/state-files.ts'

/** Answers a command; the argument is whatever JSON the client sent, so it is checked by the handler. */
export type ControlHandlers = Readonly<Record<string, (argument: unknown) => Promise<unknown>>>

export interface ControlServer {
  /** Cuts commands under way: each is atomic by itself. Removes the socket. */
  readonly close: () => Promise<void>
}

const bodyBytesMax = 64 * 1024
const headBytesMax = 8 * 1024
const receiveTimeoutMs = 5_000
const connectionsMax = 32

/** @throws TollgateError STATE_LOCKED when somebody answers on the socket, STATE_PATH_TOO_LONG, STATE_UNWRITABLE */
export async function openControlServer ({ socketFile, handlers, log }: { readonly socketFile: string, readonly handlers: ControlHandlers, readonly log: Logger }): Promise<ControlServer> {
  checkSocketPath(socketFile)
  if (await isAnswered(socketFile)) throw new TollgateError('STATE_LOCKED', `another program answers on ${socketFile}`)
  rmSync(socketFile, { force: true })
  const server = createServer({ maxHeaderSize: headBytesMax, headersTimeout: receiveTimeoutMs, requestTimeout: receiveTimeoutMs }, (request, response) => {
    void respond(request, response, handlers, log)
  })
  server.maxConnections = connectionsMax
  await listenPrivately(server, socketFile)
  return {
    close: () => new Promise((resolve) => {
      server.close(() => { resolve() })
      server.closeAllConnections()
    })
  }
}

/** The mode is right from the socket's first moment on, not only after a chmod. */
async function listenPrivately (server: Server, socketFile: string): Promise<void> {
  const umask = process.umask(0o177)
  try {
    const listening = new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.once('listening', resolve)
    })
    server.listen(socketFile)
    await listening
    chmodSync(socketFile, 0o600)
  } catch (error) {
    throw new TollgateError('STATE_UNWRITABLE', `the control socket ${socketFile} can't be made: ${(error as Error).message}`, { cause: error })
  } finally {
    process.umask(umask)
  }
}

function isAnswered (socketFile: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketFile)
    socket.once('connect', () => { socket.destroy(); resolve(true) })
    socket.once('error', () => { resolve(false) })
  })
}

async function respond (request: IncomingMessage, response: ServerResponse, handlers: ControlHandlers, log: Logger): Promise<void> {
  let status = 200
  let content: unknown
  try {
    content = { result: await answerTo(request, handlers) ?? null }
  } catch (error) {
    if (!isCatalogued(error)) log.error({ error, url: request.url }, 'a command failed')
    const problem = problemOf(error, 'CONTROL_FAILED')
    status = problem.status
    content = { error: { code: problem.code, message: problem.message } }
  }
  const body = Buffer.from(JSON.stringify(content))
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length, connection: 'close' })
  response.end(body)
}

async function answerTo (request: IncomingMessage, handlers: ControlHandlers): Promise<unknown> {
  const command = /^\/v1\/([a-z.-]{1,64})$/.exec(request.url ?? '')?.[1]
  const handler = command !== undefined && request.method === 'POST' && Object.hasOwn(handlers, command) ? handlers[command] : undefined
  if (handler === undefined) throw new TollgateError('COMMAND_UNKNOWN', `the running program knows no command ${command ?? JSON.stringify(request.url)}`)
  return await handler(await readJsonBody(request, bodyBytesMax))
}
