// A program of its own, started in the network of a machine that has no other: an upstream, and clients that remember what they
// were answered. Arguments: the upstream's port, the gateway's port, a key. A line on its standard input is answered with how
// many answers were complete; the end of it, with everything they remember.
import { createInterface } from 'node:readline'
import process from 'node:process'
import { openEchoUpstream } from './echo-upstream.ts'
import { RememberingClient } from './remembering-client.ts'

const [upstreamPort, gatewayPort, key = ''] = process.argv.slice(2)
const upstream = await openEchoUpstream(Number(upstreamPort))
const clients = Array.from({ length: 4 }, () => new RememberingClient({
  port: Number(gatewayPort), pauseMs: 5, next: (traceId) => ({ key: 'paid', head: `GET /api/things/s200 HTTP/1.1\r\nHost: test\r\nX-API-KEY: ${key}\r\nX-TRACE-ID: ${traceId}\r\n\r\n` })
}))
const running = Promise.all(clients.map((client) => client.run()))
const memories = (): RememberingClient['memories'] => clients.flatMap((client) => client.memories)
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== '') process.stdout.write(`${memories().filter(({ outcome, status }) => outcome === 'complete' && status === 200).length}\n`)
}
for (const client of clients) client.stop()
await running
upstream.close()
process.stdout.write(`${JSON.stringify(memories())}\n`)
