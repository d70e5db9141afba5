// The thread behind open-model.ts.
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { answerBody } from '../contestants/answer.ts'
import { percentileOf } from '../harness/rounds.ts'
import type { OpenModelLoad, OpenModelOutcome } from './open-model.ts'

const load = workerData as OpenModelLoad
/** Timers have this grain: requests due within it arrive together. Whatever makes one later than that counts as waiting. */
const grainMs = 2
const requestBytes = Buffer.from([
  `GET ${load.path} HTTP/1.1`, `Host: 127.0.0.1:${load.port}`, ...Object.entries(load.headers).map(([name, value]) => `${name}: ${value}`), '', ''
].join('\r\n'), 'latin1')
const bodyBytes = Buffer.from(answerBody)

/** Bytes of the first whole answer in `received`, 0 while it is incomplete. */
function checkAnswer (received: Buffer): number {
  const headEnd = received.indexOf('\r\n\r\n')
  if (headEnd < 0) return 0
  const head = received.toString('latin1', 0, headEnd)
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? NaN)
  if (!head.startsWith('HTTP/1.1 200') || length !== bodyBytes.length) throw new Error(`not the answer that was expected: ${head}`)
  const end = headEnd + 4 + length
  if (received.length < end) return 0
  if (!received.subarray(headEnd + 4, end).equals(bodyBytes)) throw new Error('an answer had the wrong body')
  return end
}

class Connection {
  /** When the request under way was due. */
  #dueMs = 0
  #received: Buffer = Buffer.alloc(0)
  readonly #socket: Socket
  readonly #onAnswer: (connection: Connection, latencyMs: number) => void

  constructor (socket: Socket, onAnswer: (connection: Connection, latencyMs: number) => void) {
    this.#socket = socket
    this.#onAnswer = onAnswer
    socket.on('data', (chunk) => { this.#receive(chunk) })
    socket.on('close', () => { throw new Error('a connection was closed under load') })
  }

  send (dueMs: number): void {
    this.#dueMs = dueMs
    this.#socket.write(requestBytes)
  }

  #receive (chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    const size = checkAnswer(this.#received)
    if (size === 0) return
    this.#received = this.#received.subarray(size)
    this.#onAnswer(this, performance.now() - this.#dueMs)
  }
}

function openSocket (): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: load.port, host: '127.0.0.1', noDelay: true })
    socket.once('connect', () => { resolve(socket) })
    socket.once('error', reject)
  })
}

async function run (): Promise<OpenModelOutcome> {
  const sockets = await Promise.all(Array.from({ length: load.connections }, openSocket))
  const latenciesMs = new Float64Array(load.requests)
  return await new Promise((resolve) => {
    let answered = 0
    let sent = 0
    /** Due times of requests that wait for a free connection, oldest first from `waitingFrom`. */
    const waiting: number[] = []
    let waitingFrom = 0
    const onAnswer = (connection: Connection, latencyMs: number): void => {
      latenciesMs[answered++] = latencyMs
      const dueMs = waiting[waitingFrom]
      if (dueMs !== undefined) { waitingFrom++; connection.send(dueMs) } else idle.push(connection)
      if (answered === load.requests) finish()
    }
    const idle = sockets.map((socket) => new Connection(socket, onAnswer))
    const startMs = performance.now()
    const tick = (): void => {
      const nowMs = performance.now()
      const due = Math.min(load.requests, Math.floor((nowMs - startMs) * load.ratePerS / 1000))
      for (; sent < due; sent++) {
        const dueMs = Math.min(nowMs, startMs + (sent + 1) * 1000 / load.ratePerS + grainMs)
        // In turn: a connection that is left idle for long is closed by any server.
        const connection = idle.shift()
        if (connection === undefined) waiting.push(dueMs)
        else connection.send(dueMs)
      }
      if (sent < load.requests) setTimeout(tick, grainMs / 2)
    }
    const finish = (): void => {
      const seconds = (performance.now() - startMs) / 1000
      latenciesMs.sort()
      resolve({
        requests: answered,
        seconds,
        latencyMsP50: percentileOf(latenciesMs, 0.5),
        latencyMsP99: percentileOf(latenciesMs, 0.99),
        latencyMsMax: percentileOf(latenciesMs, 1)
      })
    }
    tick()
  })
}

parentPort?.postMessage(await run())
