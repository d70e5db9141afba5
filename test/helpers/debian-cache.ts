// Debian's packages for test systems that have no other way out: what this machine's own mirror has, kept in a folder of the
// checkout that git ignores, so that each package is fetched once.
import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import path from 'node:path'
import process from 'node:process'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { debianMirror } from './debian-mirror.ts'

const folder = path.resolve(import.meta.dirname, '../../.tollgate/services/debian')

/** @param address of an interface of this machine; port 80 there is ours. @param repositories folders by the name that they are served under. @returns what ends it */
export async function serveDebian (address: string, repositories: Readonly<Record<string, string>> = {}): Promise<() => Promise<void>> {
  mkdirSync(folder, { recursive: true })
  const underWay = new Map<string, Promise<void>>()
  const server = createServer((request, response) => {
    answer(request, response, { underWay, repositories }).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(502)
      response.end(String(error))
    })
  })
  await new Promise<void>((resolve, reject) => { server.once('error', reject).listen(80, address, resolve) })
  return () => new Promise((resolve) => { server.close(() => { resolve() }); server.closeAllConnections() })
}

interface Served { readonly underWay: Map<string, Promise<void>>, readonly repositories: Readonly<Record<string, string>> }

async function answer (request: IncomingMessage, response: ServerResponse, { underWay, repositories }: Served): Promise<void> {
  const url = request.url ?? '/'
  const [, name = '', rest = ''] = /^\/(\w+)\/([\w./+~%:-]+)$/.exec(url) ?? []
  const repository = repositories[name]
  if ((name !== 'debian' && repository === undefined) || url.includes('..')) { response.writeHead(404).end(); return }
  if (repository !== undefined) {
    const file = path.join(repository, rest)
    if (!existsSync(file)) { response.writeHead(404).end(); return }
    response.writeHead(200)
    await pipeline(createReadStream(file), response)
    return
  }
  const target = `${debianMirror()}${url.slice('/debian'.length)}`
  if (!url.endsWith('.deb')) {
    const headers = request.headers['if-modified-since']
    const found = await fetch(target, { headers: headers === undefined ? {} : { 'if-modified-since': headers } })
    response.writeHead(found.status, Object.fromEntries(['last-modified', 'etag'].flatMap((name) => { const value = found.headers.get(name); return value === null ? [] : [[name, value]] })))
    response.end(Buffer.from(await found.arrayBuffer()))
    return
  }
  const file = path.join(folder, path.basename(decodeURIComponent(url)))
  if (!existsSync(file)) {
    const fetching = underWay.get(file) ?? download(target, file)
    underWay.set(file, fetching)
    await fetching
  }
  response.writeHead(200)
  await pipeline(createReadStream(file), response)
}

async function download (url: string, file: string): Promise<void> {
  const found = await fetch(url)
  if (!found.ok || found.body === null) throw new Error(`${url}: ${found.status}`)
  const part = `${file}.${process.pid}`
  await pipeline(Readable.fromWeb(found.body), createWriteStream(part))
  renameSync(part, file)
}
