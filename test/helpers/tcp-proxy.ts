// A TCP proxy between two processes that can cut all its connections, refuse new ones, or slow both ways down.
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** Ends every connection and refuses new ones. */
  readonly cut: () => void
  /** Nothing passes any more, and nobody is told: as when a cable is pulled. */
  readonly pull: () => void
  /** Each piece arrives this much later, either way. */
  readonly slow: (delayMs: number) => void
  /** Everything passes again; connections that were pulled are cut, as they would be by keep-alives in the end. */
  readonly heal: () => void
  readonly close: () => void
}

type Mode = { readonly kind: 'pass', readonly delayMs: number } | { readonly kind: 'cut' } | { readonly kind: 'pull' }

/** @param targetPort on loopback, asked for at each connection */
export async function openTcpProxy (targetPort: () => number, port = 0): Promise<TcpProxy> {
  let mode: Mode = { kind: 'pass', delayMs: 0 }
  const sockets = new Set<Socket>()
  const forward = (from: Socket, to: Socket): void => {
    from.on('data', (chunk) => {
      if (mode.kind === 'pull') { from.pause(); return }
      const send = (): void => {
        if (mode.kind === 'pull') return
        if (!to.write(chunk)) { from.pause(); to.once('drain', () => { from.resume() }) }
      }
      if (mode.kind === 'pass' && mode.delayMs > 0) setTimeout(send, mode.delayMs)
      else send()
    })
    from.once('close', () => { if (mode.kind !== 'pull') to.destroy() })
    from.on('error', () => { from.destroy() })
  }
  const server = createServer((client) => {
    if (mode.kind === 'cut') { client.destroy(); return }
    const target = connect(targetPort(), '127.0.0.1')
    for (const socket of [client, target]) {
      sockets.add(socket)
      socket.once('close', () => { sockets.delete(socket) })
    }
    forward(client, target)
    forward(target, client)
  })
  await listening(server, port)
  const destroyAll = (): void => { for (const socket of sockets) socket.destroy() }
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => { mode = { kind: 'cut' }; destroyAll() },
    pull: () => { mode = { kind: 'pull' } },
    slow: (delayMs) => { mode = { kind: 'pass', delayMs } },
    heal: () => {
      const wasPulled = mode.kind === 'pull'
      mode = { kind: 'pass', delayMs: 0 }
      if (wasPulled) destroyAll()
    },
    close: () => { server.close(); destroyAll() }
  }
}

function listening (server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
}
