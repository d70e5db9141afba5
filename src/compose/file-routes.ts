// An aggregator's files over its operator listener, for billing, `tollgate verify` and its peers:
//
//   GET  /files                                        {"partitions": [0, 2]}
//   GET  /files/partition-P/manifest                   records of flushes, a JSON object a line
//   GET  /files/partition-P/archive|segment|flush/NAME the file
//   POST /files/partition-P/flush                      what is counted goes to the archive first
//   PUT  /copies/OWNER/partition-P/KIND/NAME           keeps a copy; X-Content-SHA256 is the content's hash
//   HEAD /copies/OWNER/partition-P/KIND/NAME           200 when a copy of that hash is here, else 404
//   GET  /copies/OWNER/partition-P/KIND                names of what is here, a JSON string a line
//
// Each needs one of `operator.tokens` as a bearer token.
import { createReadStream } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FileKind, FilesForOthers } from '../aggregator/files-for-others.ts'
import { copyHashHeader } from '../aggregator/peer-copies.ts'
import { TollgateError } from '../domain/errors.ts'
import { problemOf } from '../platform/http-problem.ts'
import type { OperatorRoute } from '../platform/operator-http.ts'
import { openBearerTokens } from './bearer-tokens.ts'

export interface FileRouteParts {
  readonly files: FilesForOthers
  readonly tokens: () => readonly { readonly name: string, readonly token: string }[]
}

const kinds: readonly FileKind[] = ['archive', 'segment', 'flush']

export function fileRoutes (parts: FileRouteParts): OperatorRoute[] {
  const ownerOf = openBearerTokens(parts.tokens)
  const guarded = (prefix: string, answer: OperatorRoute['answer']): OperatorRoute => ({
    prefix,
    answer: async (request, response, path) => {
      if (ownerOf(request) === undefined) { refuse(request, response, 401, 'one of operator.tokens is needed as a bearer token'); return }
      try {
        await answer(request, response, decoded(path))
      } catch (error) {
        if (response.headersSent || !(error instanceof TollgateError)) throw error
        const { status, message } = problemOf(error, 'CONTROL_FAILED')
        refuse(request, response, status, message)
      }
    }
  })
  return [guarded('/files', (request, response, path) => answerFiles(parts.files, request, response, path)), guarded('/copies', (request, response, path) => answerCopies(parts.files, request, response, path))]
}

function decoded (path: string): string {
  try {
    return decodeURIComponent(path)
  } catch (error) {
    throw new TollgateError('ARGUMENT_INVALID', 'the path can\'t be decoded', { cause: error })
  }
}

async function answerFiles (files: FilesForOthers, request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  if (path === '' && request.method === 'GET') { sendJson(response, { partitions: files.listPartitions() }); return }
  const match = /^\/partition-(\d{1,6})\/([a-z]+)(?:\/(.+))?$/.exec(path)
  if (match === null) { refuse(request, response, 404, 'there is nothing at this address'); return }
  const [, number, what, name] = match
  const partition = Number(number)
  const kind = kinds.find((each) => each === what)
  if (what === 'flush' && name === undefined && request.method === 'POST') {
    await files.flush(partition)
    sendJson(response, { partition })
  } else if (what === 'manifest' && name === undefined && request.method === 'GET') {
    await sendLines(response, files.manifest(partition))
  } else if (kind !== undefined && name !== undefined && request.method === 'GET') {
    const file = files.fileOf(partition, kind, name)
    if (file === undefined) { refuse(request, response, 404, 'there is no such file'); return }
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    await pipeline(createReadStream(file), response)
  } else refuse(request, response, 405, 'that isn\'t done here')
}

async function sendLines (response: ServerResponse, items: Iterable<unknown>): Promise<void> {
  const lines = function * (): Generator<string> { for (const item of items) yield `${JSON.stringify(item)}\n` }
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  await pipeline(Readable.from(lines()), response)
}

async function answerCopies (files: FilesForOthers, request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  const match = /^\/([^/]+)\/partition-(\d{1,6})\/([a-z]+)(?:\/(.+))?$/.exec(path)
  const [, owner = '', number, what, name] = match ?? []
  const kind = kinds.find((each) => each === what)
  if (kind !== undefined && name === undefined && request.method === 'GET') { await sendLines(response, files.namesOf(owner, Number(number), kind)); return }
  const sha256 = request.headers[copyHashHeader]
  if (kind === undefined || name === undefined || (request.method !== 'PUT' && request.method !== 'HEAD')) { refuse(request, response, 404, 'copies are brought by PUT /copies/OWNER/partition-P/KIND/NAME'); return }
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) { refuse(request, response, 400, `${copyHashHeader} must be the SHA-256 of the content`); return }
  const file = { owner, partition: Number(number), kind, name }
  if (request.method === 'HEAD') {
    response.writeHead(await files.hasCopy(file, sha256) ? 200 : 404)
    response.end()
    return
  }
  await files.storeCopy(file, request, sha256)
  sendJson(response, file)
}

function sendJson (response: ServerResponse, content: unknown): void {
  const body = `${JSON.stringify(content)}\n`
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

/** What the client still sends isn't read: its connection ends. */
function refuse (request: IncomingMessage, response: ServerResponse, status: number, message: string): void {
  const body = `${JSON.stringify({ message })}\n`
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), connection: 'close' })
  response.end(body)
  if (!request.complete) request.resume()
}
