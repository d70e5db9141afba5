// A rival: @fastify/http-proxy with its defaults, forwarding everything, logging nothing. Run as a process of its own.
import { createRequire } from 'node:module'
import process from 'node:process'
import type { FastifyPluginAsync } from 'fastify'
import { fastify } from 'fastify'

const upstream = process.argv[2]
if (upstream === undefined) throw new Error('usage: fastify-server.ts UPSTREAM-URL')
// Required, not imported: the type check of the checkout has to pass before the benchmark's own packages are installed.
const httpProxy = createRequire(import.meta.url)('@fastify/http-proxy') as FastifyPluginAsync<{ upstream: string }>

const server = fastify()
await server.register(httpProxy, { upstream })
const url = await server.listen({ host: '127.0.0.1', port: 0 })
process.stdout.write(`listening ${new URL(url).port}\n`)
process.once('SIGTERM', () => { process.exit(0) })
