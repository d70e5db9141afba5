// The upstream of `bodies`: GET /api/down/N is answered with N bytes of the pattern; POST /api/up/N takes as many, compares each
// with the pattern and says how many were right. Run as a process of its own.
import process from 'node:process'
import uws from 'uWebSockets.js'
import { isPiece, pieceAt } from '../load/body-pattern.ts'

function pour (response: uws.HttpResponse, totalBytes: number): void {
  let isGone = false
  response.onAborted(() => { isGone = true })
  /** @returns whether all is written */
  const go = (): boolean => {
    while (!isGone) {
      const [isTaken, isDone] = response.tryEnd(pieceAt(response.getWriteOffset(), totalBytes), totalBytes)
      if (isDone) return true
      if (!isTaken) return false
    }
    return true
  }
  response.onWritable(go)
  response.cork(go)
}

function take (response: uws.HttpResponse): void {
  let right = 0
  let isRight = true
  response.onAborted(() => { isRight = false })
  response.onData((chunk, isLast) => {
    isRight &&= isPiece(Buffer.from(chunk), right)
    if (isRight) right += chunk.byteLength
    if (isLast) response.cork(() => { response.end(String(isRight ? right : -1)) })
  })
}

uws.App()
  .get('/api/down/:bytes', (response, request) => { pour(response, Number(request.getParameter(0))) })
  .post('/api/up/:bytes', (response) => { take(response) })
  .listen('127.0.0.1', 0, (socket) => {
    if (socket === false) throw new Error('the upstream could not listen')
    process.stdout.write(`listening ${uws.us_socket_local_port(socket)}\n`)
  })
process.once('SIGTERM', () => { process.exit(0) })
