// The sample API that the demo sells: a courier's app asks for a tracking token, starts a tour, reports positions and
// ends the tour. It answers from memory and knows nothing of keys, limits or bills: that is the gateway's work.
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import process from 'node:process'

const bodyBytesMax = 16 * 1024
const toursMax = 10_000

interface Tour { positions: number, isEnded: boolean }

const tours = new Map<string, Tour>()
let tourCount = 0

function send (response: ServerResponse, status: number, content: unknown): void {
  const body = JSON.stringify(content)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

function startTour (): string {
  // The oldest tour goes when the table is full: a sample forgets, it doesn't grow.
  const oldest = tours.keys().next().value
  if (tours.size >= toursMax && oldest !== undefined) tours.delete(oldest)
  const tourId = `t${++tourCount}`
  tours.set(tourId, { positions: 0, isEnded: false })
  return tourId
}

function route (method: string, path: string, response: ServerResponse): void {
  const [, , , , action, tourId] = path.split('/')
  if (method === 'POST' && action === 'generate-token') { send(response, 200, { trackingToken: `sample-${tourCount}`, expiresInS: 3600 }); return }
  if (method === 'POST' && action === 'start') { send(response, 201, { tourId: startTour() }); return }
  const tour = tours.get(tourId ?? '') ?? { positions: 0, isEnded: false }
  if (method === 'POST' && action === 'tracking') { tour.positions++; send(response, 200, { tourId, positions: tour.positions }); return }
  if (method === 'POST' && action === 'end') { tour.isEnded = true; send(response, 200, { tourId, isEnded: true }); return }
  if (method === 'GET' && action === 'broken') { send(response, 500, { message: 'this endpoint always fails, to show that failures are not billed' }); return }
  send(response, 404, { message: 'no such resource' })
}

function onRequest (request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > bodyBytesMax) request.destroy()
  })
  request.on('end', () => { route(request.method ?? 'GET', (request.url ?? '/').split('?')[0] ?? '/', response) })
}

/** Starts the sample API on loopback; resolves when it listens. */
export function openSampleApi (port: number): Promise<Server> {
  const server = createServer({ keepAliveTimeout: 60_000 }, onRequest)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => { resolve(server) })
  })
}

if (process.argv[1] === import.meta.filename) {
  const port = Number(process.argv[2] ?? 8083)
  await openSampleApi(port)
  process.stdout.write(`sample API on http://127.0.0.1:${port}/api/v1/location\n`)
}
