// The HTTP server of one worker: uWebSockets.js with what it leaves to its user. Whatever is thrown in one of its handlers
// ends the process, so nothing is.
import type { HttpResponse, TemplatedApp } from 'uWebSockets.js'
import uws from 'uWebSockets.js'
import { sleepMs } from '../platform/clock.ts'
import { openPlainPort, openTlsPort } from './client-port.ts'
import type { ClientPort, PortTls, Serve } from './client-port.ts'
import { boundConnections } from './connection-bounds.ts'
import { Exchange } from './exchange.ts'
import { openMutualTlsPort } from './mutual-tls-port.ts'
import type { RulesInForce } from './rules-in-force.ts'
import type { Services } from './services.ts'

export interface ServerOptions {
  readonly host: string
  readonly port: number
  readonly tls: PortTls | undefined
  /** Of a port whose clients must show a certificate: see mutual-tls-port.ts. */
  readonly socketFile: string
  readonly stopTimeoutMs: number
}

export interface Server {
  /** Its certificate can be changed. */
  readonly port: Pick<ClientPort, 'prepare' | 'commit' | 'abort'>
  /** No new connections; requests in flight are finished, up to the time-out, then cut. Resolves when all is closed. */
  readonly stop: () => Promise<void>
}

/** Leaves the server's name and version out of the answers. An undocumented switch of the library. */
const withoutMark = '999999990007'
const drainPollMs = 10
/** How long a stop waits for the last commits. */
const settleTimeoutMs = 5_000

/** @throws TollgateError PORT_IN_USE; CONFIG_INVALID for a certificate that can't be used */
export async function openServer (options: ServerOptions, services: Services, inForce: RulesInForce): Promise<Server> {
  ;(uws as unknown as { _cfg: (key: string) => void })._cfg(withoutMark)
  const bounds = boundConnections(options.port, () => inForce.connectionBounds, services)
  const serve: Serve = (app, onCount) => {
    app.filter((response, change) => {
      // The library's types say Number, the object.
      const isNew = Number(change) > 0
      onCount(isNew ? 1 : -1)
      bounds.onChange(response, isNew)
    })
    serveRequests(app, services, inForce)
  }
  const port = await openPort(serve, options, bounds.mayOpen).catch((error: unknown) => {
    bounds.cancel()
    throw error
  })
  return {
    port,
    stop: async () => {
      services.isStopping = true
      port.stopListening()
      await drained(services, options.stopTimeoutMs)
      bounds.cancel()
      port.close()
    }
  }
}

async function openPort (serve: Serve, { host, port, tls, socketFile }: ServerOptions, mayOpen: (address: string) => boolean): Promise<ClientPort> {
  if (tls === undefined) return await openPlainPort(serve, { host, port })
  const { files, texts } = tls
  return await (texts.clientCa === undefined ? openTlsPort(serve, { host, port }, files) : openMutualTlsPort(serve, { host, port, texts, socketFile, mayOpen }))
}

/**
 * A request whose connection may have to end with the answer goes on to a second handler, because the server gives each handler a handle
 * of its own: the first one's stays good after the answer (last-answers.ts). The pattern of the second is another, and matches all as well.
 */
function serveRequests (app: TemplatedApp, services: Services, inForce: RulesInForce): void {
  let connection: HttpResponse | undefined
  app.any('/*', (response, request) => {
    try {
      if (inForce.gatekeeper.read(request)) {
        connection = response
        request.setYield(true)
        return
      }
    } catch (error) {
      new Exchange(services, response, undefined).crash(error)
      return
    }
    admit(response, undefined, services, inForce)
  })
  app.any('/*second', (response) => {
    admit(response, connection, services, inForce)
    connection = undefined
  })
}

function admit (response: HttpResponse, connection: HttpResponse | undefined, services: Services, inForce: RulesInForce): void {
  const exchange = new Exchange(services, response, connection)
  try {
    inForce.gatekeeper.admit(exchange, response)
  } catch (error) {
    exchange.crash(error)
  }
}

/** Also waits for the events of what was answered: a ticket that nobody waits for would never be counted. */
async function drained (services: Services, stopTimeoutMs: number): Promise<void> {
  const { inFlight, meter } = services
  await untilOrTimeout(services, stopTimeoutMs, () => inFlight.count === 0)
  inFlight.forEach((item) => { item.stop() })
  await untilOrTimeout(services, settleTimeoutMs, () => meter.waiting === 0)
}

async function untilOrTimeout ({ clock }: Services, timeoutMs: number, isDone: () => boolean): Promise<void> {
  const endMs = clock.monotonicMs() + timeoutMs
  while (!isDone() && clock.monotonicMs() < endMs) await sleepMs(drainPollMs)
}
