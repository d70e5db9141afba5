// Where clients connect that must show a certificate. The native server asks for one and lets in who has none, so TLS is Node's
// here: it ends the TLS of a connection and passes what it holds on to the native server, over a socket that only this user can
// open. A PROXY head says who the client is (the haproxy project's protocol, version 2).
import { rmSync } from 'node:fs'
import { connect, isIPv6 } from 'node:net'
import type { Socket } from 'node:net'
import { createSecureContext, createServer } from 'node:tls'
import type { SecureContextOptions, Server, TLSSocket } from 'node:tls'
import uws from 'uWebSockets.js'
import type { us_listen_socket } from 'uWebSockets.js'
import { TollgateError } from '../domain/errors.ts'
import { checkSocketPath } from '../platform/state-files.ts'
import { tlsServerDefaults } from '../platform/tls.ts'
import { groupsOf } from './client-address.ts'
import type { Address, ClientPort, Serve } from './client-port.ts'
import type { CertificateTexts } from './options.ts'

const handshakeTimeoutMs = 10_000

export interface MutualTlsOptions extends Address {
  readonly texts: CertificateTexts
  /** Between Node's TLS and the native server. */
  readonly socketFile: string
  /** Whether one more from this address may be opened; the native server bounds the total. */
  readonly mayOpen: (address: string) => boolean
}

/** @throws TollgateError PORT_IN_USE, CONFIG_INVALID, STATE_PATH_TOO_LONG */
export async function openMutualTlsPort (serve: Serve, options: MutualTlsOptions): Promise<ClientPort> {
  const { socketFile, mayOpen } = options
  checkSocketPath(socketFile)
  const context = contextOf(options.texts)
  const app = uws.App()
  serve(app, () => {})
  rmSync(socketFile, { force: true })
  const inner = await new Promise<us_listen_socket>((resolve) => { app.listen_unix(resolve, socketFile) })
  const clients = new Set<TLSSocket>()
  const server = createServer({ ...tlsServerDefaults, ...context, requestCert: true, rejectUnauthorized: true, handshakeTimeout: handshakeTimeoutMs }, (client) => {
    clients.add(client)
    client.once('close', () => { clients.delete(client) })
    if (mayOpen(client.remoteAddress ?? '')) join(client, socketFile)
    else client.destroy()
  })
  await listenShared(server, options)
  let prepared: SecureContextOptions | undefined
  return {
    prepare: ({ texts }) => { prepared = contextOf(texts) },
    commit: () => {
      if (prepared !== undefined) server.setSecureContext({ ...tlsServerDefaults, ...prepared })
      prepared = undefined
    },
    abort: () => { prepared = undefined },
    stopListening: () => {
      server.close()
      uws.us_listen_socket_close(inner)
    },
    close: () => {
      app.close()
      for (const client of clients) client.destroy()
      rmSync(socketFile, { force: true })
    }
  }
}

/** @throws TollgateError CONFIG_INVALID */
function contextOf ({ certificate, key, clientCa }: CertificateTexts): SecureContextOptions {
  const context = { cert: certificate, key, ...(clientCa === undefined ? {} : { ca: clientCa }) }
  try {
    createSecureContext(context)
    return context
  } catch (error) {
    throw new TollgateError('CONFIG_INVALID', `the certificate of gateway.listen, its key and its clients' authorities can't be used together: ${(error as Error).message}`, { cause: error })
  }
}

/** Either side that ends, ends the other, after what is on its way. */
function join (client: TLSSocket, socketFile: string): void {
  const inner = connect(socketFile)
  client.setNoDelay(true)
  inner.write(proxyHead(client))
  client.on('error', () => { inner.destroy() })
  inner.on('error', () => { client.destroy() })
  client.once('close', () => { inner.destroy() })
  inner.once('close', () => { client.destroySoon() })
  client.pipe(inner)
  inner.pipe(client)
}

const proxySignature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

/** Version 2, command PROXY, TCP: addresses and ports of both ends of the client's connection. */
export function proxyHead ({ remoteAddress = '0.0.0.0', localAddress = '0.0.0.0', remotePort = 0, localPort = 0 }: Pick<Socket, 'remoteAddress' | 'localAddress' | 'remotePort' | 'localPort'>): Buffer {
  const isSix = isIPv6(remoteAddress)
  const addresses = Buffer.concat([addressBytes(remoteAddress), addressBytes(localAddress)])
  const head = Buffer.alloc(4)
  head.writeUInt8(0x21, 0)
  head.writeUInt8(isSix ? 0x21 : 0x11, 1)
  head.writeUInt16BE(addresses.length + 4, 2)
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(remotePort, 0)
  ports.writeUInt16BE(localPort, 2)
  return Buffer.concat([proxySignature, head, addresses, ports])
}

function addressBytes (address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number))
  const [withoutZone = ''] = address.split('%')
  return Buffer.from(groupsOf(withoutZone).map((group) => group.padStart(4, '0')).join(''), 'hex')
}

/** Workers share the port: the kernel deals connections out among them. */
function listenShared (server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => { reject(new TollgateError('PORT_IN_USE', `the gateway can't listen on ${host}:${port}: ${error.message}`, { cause: error })) })
    server.listen({ host, port, reusePort: true }, resolve)
  })
}
