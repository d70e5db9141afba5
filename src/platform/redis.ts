// A connection to Redis that never keeps anybody waiting without end. The client library waits for ever on a server that
// is there and says nothing (stopped, or behind a dead link), so this one looks after it: each second a question, and a new
// connection when it isn't answered. While there is no connection, questions fail at once instead of being queued.
import { readFileSync } from 'node:fs'
import { ClientClosedError, ClientOfflineError, ErrorReply, createClient } from 'redis'
import { TollgateError } from '../domain/errors.ts'
import { after, every, systemClock } from './clock.ts'
import type { Timer } from './clock.ts'

/** Plain data: crosses threads. */
export interface RedisOptions {
  readonly host: string
  readonly port: number
  /** The ACL user. */
  readonly username?: string
  readonly password?: string
  /** Stands before every key. */
  readonly keyPrefix: string
  /** `ca`: PEM text. */
  readonly tls?: { readonly ca?: string }
}

/** The `redis` section of the configuration. */
export interface RedisSettings extends Omit<RedisOptions, 'tls'> { readonly tls?: { readonly caFile?: string } }

export type RedisReply = string | number | null | readonly RedisReply[]
type Client = ReturnType<typeof createClient>

const connectTimeoutMs = 2_000
const lookPeriodMs = 1_000
/** A server that has said nothing for so long is given up, and asked over a new connection. */
const silenceMsMax = 3_000
const reconnectDelayMsMax = 1_000
const readyPollMs = 10

/** @throws TollgateError CONFIG_INVALID when the authority's file can't be read */
export function redisOptionsOf ({ tls, ...rest }: RedisSettings): RedisOptions {
  if (tls === undefined) return rest
  const { caFile } = tls
  if (caFile === undefined) return { ...rest, tls: {} }
  try {
    return { ...rest, tls: { ca: readFileSync(caFile, 'utf8') } }
  } catch (error) {
    throw new TollgateError('CONFIG_INVALID', `redis.tls.caFile: ${caFile} can't be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, { cause: error })
  }
}

export class RedisLink {
  readonly options: RedisOptions
  readonly #onReady: () => void
  #client: Client
  #failure: unknown
  #isClosed = false
  /** When the connection was begun that isn't ready yet. */
  #connectedMs: number | undefined
  #pingMs: number | undefined
  #subscription: { readonly channel: string, readonly listener: (message: string) => void } | undefined
  readonly #timer: Timer

  /** Connects in the background. @param onReady called after each connection: the first one, and every later one */
  constructor (options: RedisOptions, onReady: () => void = () => {}) {
    this.options = options
    this.#onReady = onReady
    this.#client = this.#open()
    this.#timer = every(lookPeriodMs, () => { this.#look() })
  }

  get isReady (): boolean { return !this.#isClosed && this.#client.isReady }

  /** Waits for the connection. @throws TollgateError REDIS_UNREACHABLE, REDIS_DENIED */
  async ready (withinMs: number): Promise<void> {
    const endMs = systemClock.monotonicMs() + withinMs
    while (!this.isReady) {
      if (systemClock.monotonicMs() >= endMs || isDenied(this.#failure)) throw this.#away()
      await new Promise<void>((resolve) => { after(readyPollMs, resolve) })
    }
  }

  /**
   * One command. What is asked in one turn of the loop goes out in one write.
   * @throws TollgateError REDIS_UNREACHABLE (also after `withinMs`: it is unknown then whether it was carried out), REDIS_DENIED; ErrorReply for what the command itself was refused with
   */
  async ask (command: readonly string[], withinMs: number): Promise<RedisReply> {
    let timer: Timer | undefined
    const timeout = new Promise<never>((_resolve, reject) => {
      timer = after(withinMs, () => { reject(new TollgateError('REDIS_UNREACHABLE', `${this.#name} has not answered within ${withinMs} ms`)) })
    })
    try {
      return await Promise.race([this.send(command), timeout])
    } catch (error) {
      throw this.#named(error)
    } finally {
      timer?.cancel()
    }
  }

  /** The same for those who keep the time themselves. Rejects with the library's own errors. */
  send (command: readonly string[]): Promise<RedisReply> { return this.#client.sendCommand(command as string[]) }

  /** Once. Holds over new connections; messages in between are lost. */
  subscribe (channel: string, listener: (message: string) => void): void {
    this.#subscription = { channel, listener }
    this.#subscribe(this.#client)
  }

  close (): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#timer.cancel()
    abandon(this.#client)
  }

  get #name (): string { return `Redis at ${this.options.host}:${this.options.port}` }

  #open (): Client {
    const { host, port, username, password, tls } = this.options
    const client: Client = createClient({
      socket: {
        host,
        port,
        connectTimeout: connectTimeoutMs,
        noDelay: true,
        reconnectStrategy: (retries) => Math.min(25 * 2 ** Math.min(retries, 10), reconnectDelayMsMax),
        ...(tls === undefined ? {} : { tls: true as const, ...(tls.ca === undefined ? {} : { ca: tls.ca }) })
      },
      disableOfflineQueue: true,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password })
    })
    client.on('error', (error: unknown) => {
      // One that was given up says only that it was.
      if (client !== this.#client) return
      this.#failure = error
      this.#connectedMs = undefined
    })
    client.on('connect', () => { this.#connectedMs = systemClock.monotonicMs() })
    client.on('ready', () => {
      if (client !== this.#client) return
      this.#failure = undefined
      this.#connectedMs = this.#pingMs = undefined
      this.#onReady()
    })
    // What goes wrong comes as an event too.
    client.connect().catch(() => {})
    return client
  }

  #subscribe (client: Client): void {
    if (this.#subscription === undefined) return
    client.subscribe(this.#subscription.channel, this.#subscription.listener).catch((error: unknown) => { this.#failure = error })
  }

  #look (): void {
    const nowMs = systemClock.monotonicMs()
    const sinceMs = this.#client.isReady ? this.#pingMs : this.#connectedMs
    if (sinceMs !== undefined && nowMs - sinceMs >= silenceMsMax) this.#renew()
    else if (this.#client.isReady && this.#pingMs === undefined) this.#ping(this.#client, nowMs)
  }

  #ping (client: Client, nowMs: number): void {
    this.#pingMs = nowMs
    const over = (): void => { if (client === this.#client) this.#pingMs = undefined }
    client.sendCommand(['PING']).then(over, over)
  }

  #renew (): void {
    const old = this.#client
    this.#failure = new Error('no answer')
    this.#connectedMs = this.#pingMs = undefined
    this.#client = this.#open()
    this.#subscribe(this.#client)
    abandon(old)
  }

  #away (): TollgateError {
    const cause = this.#failure
    if (isDenied(cause)) return new TollgateError('REDIS_DENIED', `${this.#name} refuses us: ${(cause as Error).message}`, { cause })
    return new TollgateError('REDIS_UNREACHABLE', `${this.#name} can't be reached${cause === undefined ? '' : `: ${textOf(cause)}`}`, { cause })
  }

  #named (error: unknown): unknown {
    if (error instanceof TollgateError) return error
    if (isDenied(error)) return new TollgateError('REDIS_DENIED', `${this.#name} refuses us: ${(error as Error).message}`, { cause: error })
    if (error instanceof ErrorReply) return error
    this.#failure ??= error instanceof ClientOfflineError || error instanceof ClientClosedError ? undefined : error
    return this.#away()
  }
}

/** Wrong user or password, or a command, key or channel that the user may not use. */
export function isDenied (error: unknown): boolean {
  return error instanceof ErrorReply && /^(?:NOAUTH|WRONGPASS|NOPERM)\b|^ERR AUTH|NOPERM|The user executing the script can't/.test(error.message)
}

/** An error that Redis gave to a command that it could have carried out: out of memory, read only, still loading. */
export function failureOf (error: unknown): unknown {
  if (!(error instanceof ErrorReply)) return error
  return new TollgateError('REDIS_FAILED', `Redis refused a command: ${error.message}`, { cause: error })
}

export { ErrorReply }

function textOf (error: unknown): string {
  // Several addresses were tried: the errors inside say why.
  if (error instanceof AggregateError && error.errors.length > 0) return textOf(error.errors[0])
  return error instanceof Error ? error.message : String(error)
}

/** A connection that is being made right now can't be cancelled; unreferenced, it keeps no process alive. */
function abandon (client: Client): void {
  client.unref()
  client.disconnect().catch(() => {})
}
