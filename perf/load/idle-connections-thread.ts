// The thread behind idle-connections.ts.
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { eventually } from '../../test/helpers/eventually.ts'
import type { IdleOptions } from './idle-connections.ts'

const { port, count, sayEveryMs } = workerData as IdleOptions
/** A queue of connections that wait to be accepted is limited. */
const openedAtOnce = 100
const slices = 50
const request = `GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`
const expected = 'HTTP/1.1 404 '

let answered = 0
function open (): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.once('error', reject)
    socket.once('connect', () => { resolve(socket) })
    socket.on('close', () => { throw new Error('an idle connection was closed') })
    socket.on('data', (chunk) => {
      if (chunk.toString('latin1', 0, expected.length) !== expected) throw new Error(`an idle connection was answered with ${chunk.toString('latin1', 0, 40)}`)
      answered++
    })
  })
}

const sockets: Socket[] = []
while (sockets.length < count) {
  const opened = await Promise.all(Array.from({ length: Math.min(openedAtOnce, count - sockets.length) }, open))
  sockets.push(...opened)
  // Not all of them together in the end: thousands of requests at a time would need memory that no idle connection keeps.
  for (const socket of opened) socket.write(request)
  await eventually('each idle connection has an answer', () => answered >= sockets.length, { withinMs: 60_000, everyMs: 5 })
}
parentPort?.postMessage('held')

for (let slice = 0, dueMs = performance.now(); ; slice = (slice + 1) % slices) {
  for (let index = slice; index < count; index += slices) sockets[index]?.write(request)
  dueMs += sayEveryMs / slices
  await sleep(Math.max(0, dueMs - performance.now()))
}
