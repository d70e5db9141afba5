// Where clients connect. A certificate is changed without closing the port, because a port that is closed resets the connections
// that the kernel has set up and nobody has taken yet. With TLS, one app of the native server listens and serves nobody: it hands
// each connection to the app of the certificate in force. A new certificate is a new app; connections stay with the app that they
// came to, and it is closed when its last one has gone.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import uws from 'uWebSockets.js'
import type { TemplatedApp, us_listen_socket } from 'uWebSockets.js'
import { TollgateError } from '../domain/errors.ts'
import { tlsCiphers } from '../platform/tls.ts'
import type { CertificateTexts } from './options.ts'
import { Retired } from './retired.ts'

export interface TlsFiles { readonly certificateFile: string, readonly keyFile: string }

/** The native server takes files, and reads them by itself; Node takes texts, those that were checked. */
export interface PortTls { readonly files: TlsFiles, readonly texts: CertificateTexts }

export interface Address { readonly host: string, readonly port: number }

export interface ClientPort {
  /** Makes ready what new connections will be served by. @throws TollgateError CONFIG_INVALID for a certificate that can't be used */
  readonly prepare: (tls: PortTls) => void
  /** Nothing here can fail. */
  readonly commit: () => void
  readonly abort: () => void
  /** No new connections. */
  readonly stopListening: () => void
  /** Cuts all that are left. */
  readonly close: () => void
}

/** Gives an app its handlers. @param onCount hears of each connection that comes (1) and goes (-1) */
export type Serve = (app: TemplatedApp, onCount: (change: number) => void) => void

/** @throws TollgateError PORT_IN_USE */
export async function openPlainPort (serve: Serve, address: Address): Promise<ClientPort> {
  const app = uws.App()
  serve(app, () => {})
  const listening = await listen(app, address).catch((error: unknown) => {
    app.close()
    throw error
  })
  return { prepare: () => {}, commit: () => {}, abort: () => {}, stopListening: () => { uws.us_listen_socket_close(listening) }, close: () => { app.close() } }
}

/** @throws TollgateError PORT_IN_USE, CONFIG_INVALID */
export async function openTlsPort (serve: Serve, address: Address, tls: TlsFiles): Promise<ClientPort> {
  const acceptor = secureApp(tls)
  const port = new TlsPort(serve, acceptor, tls)
  try {
    const listening = await listen(acceptor, address)
    return {
      prepare: ({ files }) => { port.prepare(files) },
      commit: () => { port.commit() },
      abort: () => { port.abort() },
      stopListening: () => { uws.us_listen_socket_close(listening) },
      close: () => { port.close() }
    }
  } catch (error) {
    port.close()
    throw error
  }
}

/** What the library's types leave out: an app that takes the connections of another, in the order of a round. */
interface AcceptorApp extends TemplatedApp {
  readonly getDescriptor: () => number
  readonly addChildAppDescriptor: (descriptor: number) => void
  readonly removeChildAppDescriptor: (descriptor: number) => void
}

interface ServingApp { readonly app: AcceptorApp, readonly digest: string, connections: number }

/** A connection that was handed over is counted within a turn of the loop, long before the next look. */
const retiredSweepMs = 1_000

class TlsPort {
  readonly #serve: Serve
  readonly #acceptor: AcceptorApp
  #now: ServingApp
  #prepared: ServingApp | undefined
  readonly #retired = new Retired<ServingApp>({ periodMs: retiredSweepMs, isUsed: ({ connections }) => connections > 0, close: ({ app }) => { app.close() } })

  constructor (serve: Serve, acceptor: AcceptorApp, tls: TlsFiles) {
    this.#serve = serve
    this.#acceptor = acceptor
    this.#now = this.#make(tls)
    acceptor.addChildAppDescriptor(this.#now.app.getDescriptor())
  }

  prepare (tls: TlsFiles): void {
    this.abort()
    if (digestOf(tls) !== this.#now.digest) this.#prepared = this.#make(tls)
  }

  commit (): void {
    const next = this.#prepared
    if (next === undefined) return
    this.#prepared = undefined
    this.#acceptor.addChildAppDescriptor(next.app.getDescriptor())
    this.#acceptor.removeChildAppDescriptor(this.#now.app.getDescriptor())
    this.#retired.add([this.#now])
    this.#now = next
  }

  abort (): void {
    this.#prepared?.app.close()
    this.#prepared = undefined
  }

  close (): void {
    this.abort()
    this.#retired.cancel()
    for (const { app } of [...this.#retired, this.#now]) app.close()
    this.#acceptor.close()
  }

  #make (tls: TlsFiles): ServingApp {
    const serving: ServingApp = { app: secureApp(tls), digest: digestOf(tls), connections: 0 }
    this.#serve(serving.app, (change) => { serving.connections += change })
    return serving
  }
}

function secureApp ({ certificateFile, keyFile }: TlsFiles): AcceptorApp {
  try {
    return uws.SSLApp({ cert_file_name: certificateFile, key_file_name: keyFile, ssl_ciphers: tlsCiphers }) as AcceptorApp
  } catch (error) {
    throw new TollgateError('CONFIG_INVALID', `the certificate ${certificateFile} and the key ${keyFile} can't be used together, or can't be read`, { cause: error })
  }
}

function digestOf ({ certificateFile, keyFile }: TlsFiles): string {
  const digest = createHash('sha256')
  for (const file of [certificateFile, keyFile]) digest.update(contentOf(file)).update('\0')
  return digest.digest('hex')
}

function contentOf (file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new TollgateError('CONFIG_INVALID', `${file} can't be read: ${(error as Error).message}`, { cause: error })
  }
}

export function listen (app: TemplatedApp, { host, port }: Address): Promise<us_listen_socket> {
  return new Promise((resolve, reject) => {
    app.listen(host, port, (socket) => {
      if (socket !== false) resolve(socket)
      else reject(new TollgateError('PORT_IN_USE', `the gateway can't listen on ${host}:${port}`))
    })
  })
}
