// The API behind every contestant: the same 100 bytes for any request, from the cheapest HTTP server there is, so that
// it is never what limits a gateway. Run as a process of its own.
import process from 'node:process'
import uws from 'uWebSockets.js'
import { answerBody } from './answer.ts'

uws.App()
  .any('/*', (response) => {
    response.cork(() => { response.writeHeader('content-type', 'application/json').end(answerBody) })
  })
  .listen('127.0.0.1', 0, (socket) => {
    if (socket === false) throw new Error('the upstream could not listen')
    process.stdout.write(`listening ${uws.us_socket_local_port(socket)}\n`)
  })
process.once('SIGTERM', () => { process.exit(0) })
