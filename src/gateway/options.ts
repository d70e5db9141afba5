// What a gateway is told: plain data that crosses threads as it is. Everything here was checked by the configuration.
import type { Certificate } from '../config/certificates.ts'
import type { GatewayConfig } from '../config/schema.ts'
import type { UpstreamTls } from '../config/upstream-tls.ts'
import type { TokenSecret } from '../domain/api-key.ts'
import type { PriceBookDocument } from '../domain/price-book-document.ts'
import type { GradeType } from '../domain/usage-event.ts'
import type { RateLimit } from '../limiter/port.ts'
import type { RedisOptions } from '../platform/redis.ts'
import type { StalenessOptions } from '../registry/directory.ts'

/** What every worker of a gateway is told alike. */
export interface GatewayRules {
  readonly gatewayId: string
  readonly gateway: GatewayConfig
  /** Of the port, as it was checked; undefined without TLS. */
  readonly certificate: CertificateTexts | undefined
  /** By the upstream's name. */
  readonly upstreamTls: Readonly<Record<string, UpstreamTls>>
  readonly authentication: AuthenticationOptions
  readonly grades: Readonly<Record<GradeType, RateLimit>>
  readonly priceBook: PriceBookDocument
}

export type CertificateTexts = Pick<Certificate, 'certificate' | 'key' | 'clientCa'>

export interface AuthenticationOptions {
  readonly secrets: readonly TokenSecret[]
  /** Verified tokens that one worker remembers. */
  readonly tokenCacheMax: number
  /** A validly signed token whose key the registry doesn't have. */
  readonly unknownKeys: 'accept' | 'reject'
}

/** Where the registry is read from: its file, which the program has opened before, or which its mirror of Redis writes. */
export interface RegistrySpec {
  readonly file: string
  /** Of a mirror: what is in the file counts only so long. */
  readonly staleness?: StalenessOptions
}

/** Who limits; `memory` comes from createLimiterMemory. */
export type LimiterSpec =
  | { readonly kind: 'shared-memory', readonly memory: SharedArrayBuffer }
  | {
    readonly kind: 'redis'
    /** Of the local share, while Redis doesn't answer. */
    readonly memory: SharedArrayBuffer
    readonly redis: RedisOptions
    readonly budgetMs: number
    /** How many gateways there are: see startGatewayCount. */
    readonly gatewayCount: SharedArrayBuffer
  }

/** Request bodies up to here are collected before the upstream is called; larger ones, and chunked ones beyond it, are streamed. */
export const collectedBytesMax = 64 * 1024
/** Answers with a Content-Length up to here are collected and sent on in one piece. */
export const wholeAnswerBytesMax = 64 * 1024
/** A refused request's body is read to its end up to here, so that the connection can go on; a longer one closes it. */
export const drainedBytesMax = 64 * 1024
