// A client that remembers what it saw of every request, because that decides what the bill must say of it:
// complete answer -> billed once; sent but cut -> at most once; never sent -> never.
import { randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export type Outcome = 'complete' | 'cut' | 'unsent'

export interface Memory {
  readonly traceId: string
  readonly key: string
  outcome: Outcome
  /** HTTP status of a complete answer. */
  status: number
}

export interface ClientOptions {
  readonly port: number
  /** What the next request is; `traceId` must go into the X-TRACE-ID header so that the archive can be compared. */
  readonly next: (traceId: string) => { readonly key: string, readonly head: string, readonly body?: string }
  readonly pauseMs: number
}

/** Parses one HTTP/1.1 answer with a Content-Length from the start of `bytes`; undefined while it is incomplete. */
function completeAnswer (bytes: Buffer): { readonly status: number, readonly size: number } | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const head = bytes.toString('latin1', 0, headEnd)
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1])
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? NaN)
  if (Number.isNaN(status) || Number.isNaN(length)) throw new Error(`an answer that this client can't read: ${head}`)
  const size = headEnd + 4 + length
  return bytes.length >= size ? { status, size } : undefined
}

/** One connection's worth of requests, one after another, over as many sockets as the server's deaths make needed. */
export class RememberingClient {
  readonly memories: Memory[] = []
  readonly #options: ClientOptions
  #isRunning = true
  #socket: Socket | undefined

  constructor (options: ClientOptions) { this.#options = options }

  get inFlight (): boolean { return this.#pending !== undefined }
  #pending: Memory | undefined

  async run (): Promise<void> {
    while (this.#isRunning) {
      const socket = await this.#open()
      if (socket === undefined) { await sleep(50); continue }
      await this.#useSocket(socket)
    }
    this.#socket?.destroy()
  }

  stop (): void { this.#isRunning = false }

  async #open (): Promise<Socket | undefined> {
    const socket = connect({ port: this.#options.port, host: '127.0.0.1', noDelay: true })
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => { resolve(true) })
      socket.once('error', () => { resolve(false) })
    })
    if (isOpen) { this.#socket = socket; return socket }
    const traceId = randomUUID()
    this.memories.push({ traceId, key: this.#options.next(traceId).key, outcome: 'unsent', status: 0 })
    return undefined
  }

  async #useSocket (socket: Socket): Promise<void> {
    socket.on('error', () => { socket.destroy() })
    while (this.#isRunning && !socket.destroyed) {
      const traceId = randomUUID()
      const request = this.#options.next(traceId)
      const memory: Memory = { traceId, key: request.key, outcome: 'cut', status: 0 }
      this.memories.push(memory)
      this.#pending = memory
      const isAlive = await this.#exchange(socket, request.head + (request.body ?? ''), memory)
      this.#pending = undefined
      if (!isAlive) return
      if (this.#options.pauseMs > 0) await sleep(this.#options.pauseMs)
    }
  }

  #exchange (socket: Socket, bytes: string, memory: Memory): Promise<boolean> {
    return new Promise((resolve) => {
      let received = Buffer.alloc(0)
      const finish = (isAlive: boolean): void => {
        socket.off('data', onData)
        socket.off('close', onClose)
        if (!isAlive) socket.destroy()
        resolve(isAlive)
      }
      const onClose = (): void => { finish(false) }
      const onData = (chunk: Buffer): void => {
        received = Buffer.concat([received, chunk])
        const answer = completeAnswer(received)
        if (answer === undefined) return
        memory.outcome = 'complete'
        memory.status = answer.status
        finish(true)
      }
      socket.on('data', onData)
      socket.once('close', onClose)
      if (socket.destroyed) { finish(false); return }
      socket.write(bytes)
    })
  }
}
