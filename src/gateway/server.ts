// The HTTP server of one worker: uWebSockets.js with what it leaves to its user. Whatever is thrown in one of its handlers
// ends the process, so nothing is.
import type { HttpRequest, HttpResponse, TemplatedApp, us_listen_socket } from 'uWebSockets.js'
import uws from 'uWebSockets.js'
import { sleepMs } from '../platform/clock.ts'
import { TollgateError } from '../domain/errors.ts'
import { boundConnections } from './connection-bounds.ts'
import { Exchange } from './exchange.ts'
import type { RulesInForce } from './rules-in-force.ts'
import type { Services } from './services.ts'

export interface ServerOptions {
  readonly host: string
  readonly port: number
  readonly tls: { readonly certificateFile: string, readonly keyFile: string } | undefined
  readonly stopTimeoutMs: number
}

export interface Server {
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
  const { tls } = options
  ;(uws as unknown as { _cfg: (key: string) => void })._cfg(withoutMark)
  const app = tls === undefined ? uws.App() : secureApp(tls)
  const counting = boundConnections(app, options.port, () => inForce.connectionBounds, services)
  app.any('/*', (response: HttpResponse, request: HttpRequest) => { take(response, request, services, inForce) })
  const listening = await listen(app, options)
  return {
    stop: async () => {
      services.isStopping = true
      uws.us_listen_socket_close(listening)
      await drained(services, options.stopTimeoutMs)
      counting.cancel()
      app.close()
    }
  }
}

function secureApp ({ certificateFile, keyFile }: NonNullable<ServerOptions['tls']>): TemplatedApp {
  try {
    return uws.SSLApp({ cert_file_name: certificateFile, key_file_name: keyFile })
  } catch (error) {
    throw new TollgateError('CONFIG_INVALID', `the certificate ${certificateFile} and the key ${keyFile} can't be used together, or can't be read`, { cause: error })
  }
}

function take (response: HttpResponse, request: HttpRequest, services: Services, inForce: RulesInForce): void {
  const exchange = new Exchange(services, response)
  try {
    inForce.gatekeeper.admit(exchange, response, request)
  } catch (error) {
    exchange.crash(error)
  }
}

function listen (app: TemplatedApp, { host, port }: ServerOptions): Promise<us_listen_socket> {
  return new Promise((resolve, reject) => {
    app.listen(host, port, (socket) => {
      if (socket !== false) resolve(socket)
      else {
        app.close()
        reject(new TollgateError('PORT_IN_USE', `the gateway can't listen on ${host}:${port}`))
      }
    })
  })
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
