// Starts a gateway: N worker threads that share one port. The kernel deals connections out among them; a second program
// on the same port must be told apart from a second worker here, because the kernel would let it share as well.
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import process from 'node:process'
import { TollgateError } from '../domain/errors.ts'
import type { JournalWorkerSpec } from '../journal/worker-side.ts'
import { startThread } from '../platform/thread.ts'
import type { Health, MetricsJson, ThreadEnvironment, ThreadHandle } from '../platform/thread.ts'
import type { GatewayRules, LimiterSpec, RegistrySpec } from './options.ts'
import type { GatewayWorkerOptions } from './worker.ts'

export interface GatewayOptions {
  readonly rules: GatewayRules
  readonly environment: ThreadEnvironment
  /** One for each worker; their ports go to the threads. */
  readonly journals: readonly JournalWorkerSpec[]
  readonly limiter: LimiterSpec
  readonly registry: RegistrySpec
  readonly onDeath: (name: string, error: Error) => void
}

export interface GatewayHandle {
  /** Where it listens. */
  readonly port: number
  /** One a worker, for rpc and for asking each. */
  readonly threads: readonly ThreadHandle[]
  readonly health: () => Promise<Health>
  readonly metrics: () => Promise<readonly MetricsJson[]>
  /** No new connections, requests in flight finished or, after `gateway.stopTimeoutMs`, cut; then the threads end. */
  readonly stop: () => Promise<void>
}

/** @throws TollgateError PORT_IN_USE, and what the registry's and journal's files are refused with */
export async function startGateway (options: GatewayOptions): Promise<GatewayHandle> {
  const { listen, headerBytesMax } = options.rules.gateway
  // Read by the native library when the first thread loads it, from the process's own environment.
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] = String(headerBytesMax)
  const port = await unusedPort(listen)
  const threads: ThreadHandle[] = []
  let stopping: Promise<unknown> | undefined
  const stop = async (): Promise<void> => { await (stopping ??= Promise.all(threads.map((thread) => thread.stop()))) }
  try {
    for (const [worker, journal] of options.journals.entries()) threads.push(await startWorker(options, { worker, port, journal }))
  } catch (error) {
    await stop()
    throw error
  }
  return {
    port,
    threads,
    health: async () => {
      const healths = await Promise.all(threads.map((thread) => thread.health()))
      return { isReady: healths.every(({ isReady }) => isReady), reasons: [...new Set(healths.flatMap(({ reasons }) => reasons))] }
    },
    metrics: () => Promise.all(threads.map((thread) => thread.metrics())),
    stop
  }
}

function startWorker ({ rules, environment, limiter, registry, onDeath }: GatewayOptions, { worker, port, journal }: Pick<GatewayWorkerOptions, 'worker' | 'port' | 'journal'>): Promise<ThreadHandle> {
  return startThread({
    name: `gateway-${worker}`,
    entry: new URL('./worker.ts', import.meta.url),
    environment,
    options: { rules, worker, port, journal, limiter, registry } satisfies GatewayWorkerOptions,
    transfer: [journal.wakePort],
    onDeath
  })
}

/**
 * Listens for a moment without sharing: that fails where anybody listens already, sharing or not.
 * @returns the port; one that nobody uses for port 0
 */
function unusedPort ({ host, port }: { readonly host: string, readonly port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE' ? new TollgateError('PORT_IN_USE', `another program listens on ${host}:${port}`, { cause: error }) : error)
    })
    probe.listen({ host, port, exclusive: true }, () => {
      const { port: found } = probe.address() as AddressInfo
      probe.close(() => { resolve(found) })
    })
  })
}
