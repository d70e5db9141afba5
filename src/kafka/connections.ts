// A connection to each broker, opened when it is needed. One on which anything stayed unanswered is never used again: a
// late answer on it would be taken for another's.
import { isIP } from 'node:net'
import { Connection, ResponseError } from '@platformatic/kafka'
import type { ConnectionOptions, Writer } from '@platformatic/kafka'
import { after, systemClock } from '../platform/clock.ts'
import { failureOf, RequestFailure } from './failure.ts'
import type { KafkaOptions } from './port.ts'

const connectTimeoutMs = 5_000

export interface Address { readonly host: string, readonly port: number }

export interface Connections {
  /** @throws RequestFailure */
  readonly askAt: <Response>(address: Address, request: (connection: Connection) => Promise<Response>, timeoutMs: number) => Promise<Response>
  /** When a broker failed last, on the monotonic clock; -1 where it hasn't. */
  readonly failedAtMs: (address: Address) => number
  readonly close: () => void
}

export function openConnections (options: KafkaOptions): Connections {
  const connections = new Map<string, Promise<Connection>>()
  const failedAtMs = new Map<string, number>()
  /** Those that have answered once. */
  const proven = new WeakSet<Connection>()
  let isClosed = false

  const connect = (address: Address): Promise<Connection> => {
    const name = nameOf(address)
    const existing = connections.get(name)
    if (existing !== undefined) return existing
    const connection = new Connection(options.clientId, connectionOptions(options, address))
    // Whoever asks is told by the answer; without a listener Node would end the process.
    connection.on('error', () => undefined)
    const opening = Promise.resolve(connection.connect(address.host, address.port)).then(() => connection)
    const drop = (): void => { if (connections.get(name) === opening) connections.delete(name) }
    connection.once('close', drop)
    opening.catch(() => { drop(); destroy(connection) })
    connections.set(name, opening)
    return opening
  }
  const askAt: Connections['askAt'] = async (address, request, timeoutMs) => {
    const where = nameOf(address)
    if (isClosed) throw closedFailure(where)
    let connection: Connection | undefined
    try {
      connection = await connect(address)
      const response = await answered(request(connection), timeoutMs)
      failedAtMs.delete(where)
      proven.add(connection)
      return response
    } catch (error) {
      if (!(error instanceof ResponseError)) {
        failedAtMs.set(where, systemClock.monotonicMs())
        if (connection !== undefined) {
          connections.delete(where)
          destroy(connection)
        }
      }
      if (isClosed) throw closedFailure(where)
      const failure = failureOf(error, where)
      if ((connection !== undefined && proven.has(connection)) || failure.brokerCode !== '' || !failure.message.endsWith('Connection closed')) throw failure
      // A listener for others than us just hangs up.
      throw new RequestFailure('again', `${failure.message} before the first answer: see whether kafka.tls and kafka.sasl are what this port wants`, { cause: error })
    }
  }
  return {
    askAt,
    failedAtMs: (address) => failedAtMs.get(nameOf(address)) ?? -1,
    close: () => {
      isClosed = true
      for (const opening of connections.values()) opening.then(destroy, () => undefined)
      connections.clear()
    }
  }
}

/** A request and its answer, for what the library has no function for. */
export function exchange<Response> (connection: Connection, { apiKey, apiVersion, request, parse }: {
  readonly apiKey: number
  readonly apiVersion: number
  readonly request: () => Writer
  readonly parse: Parameters<Connection['send']>[3]
}): Promise<Response> {
  return new Promise((resolve, reject) => {
    connection.send(apiKey, apiVersion, request, parse, true, true, (error: unknown, response: unknown) => { if (error instanceof Error) reject(error); else resolve(response as Response) })
  })
}

async function answered<Response> (work: Promise<Response>, timeoutMs: number): Promise<Response> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = after(timeoutMs, () => { reject(new Error(`no answer within ${timeoutMs} ms`)) })
  try {
    return await Promise.race([work, late])
  } finally {
    timer.cancel()
  }
}

/** Whoever closes doesn't want to try again. */
function closedFailure (where: string): RequestFailure { return new RequestFailure('lost', `${where}: the connections are closed`) }

function destroy (connection: Connection): void { (connection.socket as Connection['socket'] | undefined)?.destroy() }

export function nameOf ({ host, port }: Address): string { return `${host}:${port}` }

export function addressOf (broker: string): Address {
  const colon = broker.lastIndexOf(':')
  return { host: broker.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(broker.slice(colon + 1)) }
}

function connectionOptions ({ tls, sasl }: KafkaOptions, { host }: Address): ConnectionOptions {
  return {
    connectTimeout: connectTimeoutMs,
    // Each request has a time limit of its own; the library's must never come first.
    requestTimeout: 3_600_000,
    ...(tls === undefined
      ? {}
      : {
          tls: {
            ...(tls.ca === undefined ? {} : { ca: tls.ca }),
            ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
            ...(tls.key === undefined ? {} : { key: tls.key })
          },
          // An address is no server name.
          tlsServerName: isIP(host) === 0
        }),
    ...(sasl === undefined ? {} : { sasl })
  }
}
