// The thread behind bodies.ts.
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { isPiece, pieceAt } from './body-pattern.ts'
import type { BodiesLoad, BodiesOutcome } from './bodies.ts'

const { port, headers, direction, bodyBytes, connections, transfers } = workerData as BodiesLoad
const isDown = direction === 'down'
const upAnswer = Buffer.from(String(bodyBytes))
const answerBytes = isDown ? bodyBytes : upAnswer.length
const head = Buffer.from([
  `${isDown ? 'GET' : 'POST'} /api/${direction}/${bodyBytes} HTTP/1.1`, `Host: 127.0.0.1:${port}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ...(isDown ? [] : [`Content-Length: ${bodyBytes}`]), '', ''
].join('\r\n'), 'latin1')

function checkHead (text: string): void {
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? NaN)
  if (!text.startsWith('HTTP/1.1 200') || length !== answerBytes) throw new Error(`not the answer that was expected: ${text}`)
}

class Connection {
  #isHeadRead = false
  #headRead: Buffer = Buffer.alloc(0)
  #received = 0
  #sent = 0
  readonly #socket: Socket
  readonly #onDone: (connection: Connection) => void

  constructor (socket: Socket, onDone: (connection: Connection) => void) {
    this.#socket = socket
    this.#onDone = onDone
    socket.on('data', (chunk) => { this.#receive(chunk) })
    socket.on('drain', () => { this.#send() })
    socket.on('close', () => { throw new Error('a connection was closed under load') })
  }

  start (): void {
    this.#isHeadRead = false
    this.#headRead = Buffer.alloc(0)
    this.#received = 0
    this.#sent = 0
    this.#socket.cork()
    this.#socket.write(head)
    this.#send()
    this.#socket.uncork()
  }

  #send (): void {
    if (isDown) return
    while (this.#sent < bodyBytes) {
      const piece = pieceAt(this.#sent, bodyBytes)
      this.#sent += piece.length
      if (!this.#socket.write(piece)) return
    }
  }

  #receive (chunk: Buffer): void {
    if (!this.#isHeadRead) {
      this.#headRead = Buffer.concat([this.#headRead, chunk])
      const headEnd = this.#headRead.indexOf('\r\n\r\n')
      if (headEnd < 0) return
      checkHead(this.#headRead.toString('latin1', 0, headEnd))
      this.#isHeadRead = true
      this.#takeBody(this.#headRead.subarray(headEnd + 4))
    } else this.#takeBody(chunk)
  }

  #takeBody (chunk: Buffer): void {
    const isRight = isDown ? isPiece(chunk, this.#received) : chunk.equals(upAnswer.subarray(this.#received, this.#received + chunk.length))
    this.#received += chunk.length
    if (!isRight || this.#received > answerBytes) throw new Error(isDown ? 'a body was not the one that was sent' : `the upstream got a wrong body: ${chunk.toString('latin1')}`)
    if (this.#received === answerBytes) this.#onDone(this)
  }
}

function openSocket (): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.once('connect', () => { resolve(socket) })
    socket.once('error', reject)
  })
}

async function run (): Promise<BodiesOutcome> {
  const sockets = await Promise.all(Array.from({ length: connections }, openSocket))
  return await new Promise((resolve) => {
    let started = 0
    let done = 0
    const startMs = performance.now()
    const onDone = (connection: Connection): void => {
      done++
      if (done === transfers) resolve({ requests: done, seconds: (performance.now() - startMs) / 1000 })
      else if (started < transfers) { started++; connection.start() }
    }
    for (const connection of sockets.map((socket) => new Connection(socket, onDone))) {
      if (started === transfers) break
      started++
      connection.start()
    }
  })
}

parentPort?.postMessage(await run())
