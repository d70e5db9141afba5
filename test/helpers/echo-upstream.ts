// An upstream that answers with the status its path asks for (…/s404 with 404) and a small body, after as many milliseconds
// as its path says (…/w2000/…), else at once.
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface EchoUpstream { readonly url: string, readonly server: Server, readonly close: () => void }

/** @param port 0: a free one */
export async function openEchoUpstream (port = 0): Promise<EchoUpstream> {
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    request.resume()
    const status = Number(/\/s(\d{3})$/.exec(request.url ?? '')?.[1] ?? 200)
    const isBodyless = status === 204 || status === 304
    const body = isBodyless ? '' : `answer to ${request.headers['x-trace-id'] as string}`
    const answer = (): void => {
      response.writeHead(status, isBodyless ? {} : { 'content-length': body.length })
      response.end(body)
    }
    const waitMs = Number(/\/w(\d+)\//.exec(request.url ?? '')?.[1] ?? 0)
    if (waitMs === 0) answer()
    else setTimeout(answer, waitMs)
  })
  await new Promise<void>((resolve) => { server.listen(port, '127.0.0.1', resolve) })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    close: () => { server.close(); server.closeAllConnections() }
  }
}
