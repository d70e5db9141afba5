// What a failed request means for whoever asked: whether asking again can help, and if not, which error of ours it is.
// The broker's own code decides; where there is none, nobody answered.
import { AuthenticationError, GenericError, ProtocolError, ResponseError, UserError } from '@platformatic/kafka'
import { TollgateError } from '../domain/errors.ts'
import type { OperatorErrorCode } from '../domain/errors.ts'

/**
 * again: a leader or coordinator that moves, a broker that starts or is away.
 * lost: the broker's idea of a producer or transaction isn't ours any more; only a new one helps.
 * range: there is no such offset.
 * member: the group's generation has changed.
 */
export type FailureKind = 'again' | 'lost' | 'fenced' | 'denied' | 'range' | 'member' | 'refused'

const kindOfCode: Readonly<Record<string, FailureKind>> = {
  OFFSET_OUT_OF_RANGE: 'range',
  PRODUCER_FENCED: 'fenced',
  INVALID_PRODUCER_EPOCH: 'fenced',
  OUT_OF_ORDER_SEQUENCE_NUMBER: 'lost',
  UNKNOWN_PRODUCER_ID: 'lost',
  INVALID_PRODUCER_ID_MAPPING: 'lost',
  INVALID_TXN_STATE: 'lost',
  TRANSACTION_ABORTABLE: 'lost',
  TRANSACTIONAL_ID_NOT_FOUND: 'lost',
  MEMBER_ID_REQUIRED: 'member',
  UNKNOWN_MEMBER_ID: 'member',
  ILLEGAL_GENERATION: 'member',
  REBALANCE_IN_PROGRESS: 'member',
  SASL_AUTHENTICATION_FAILED: 'denied',
  UNSUPPORTED_SASL_MECHANISM: 'denied',
  ILLEGAL_SASL_STATE: 'denied',
  SECURITY_DISABLED: 'denied',
  TOPIC_AUTHORIZATION_FAILED: 'denied',
  GROUP_AUTHORIZATION_FAILED: 'denied',
  CLUSTER_AUTHORIZATION_FAILED: 'denied',
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 'denied',
  UNKNOWN_SERVER_ERROR: 'again',
  UNKNOWN_TOPIC_OR_PARTITION: 'again',
  UNKNOWN_TOPIC_ID: 'again',
  INCONSISTENT_TOPIC_ID: 'again',
  CONCURRENT_TRANSACTIONS: 'again',
  NOT_COORDINATOR: 'again',
  COORDINATOR_NOT_AVAILABLE: 'again',
  COORDINATOR_LOAD_IN_PROGRESS: 'again',
  BROKER_NOT_AVAILABLE: 'again',
  THROTTLING_QUOTA_EXCEEDED: 'again',
  TRANSACTION_COORDINATOR_FENCED: 'again'
}

/** Codes of Node's TLS for a peer that can't show who it is. */
const certificateCode = /^(?:CERT_|ERR_TLS_CERT|SELF_SIGNED_CERT|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|ERR_SSL_.*CERTIFICATE|HOSTNAME_MISMATCH)/

export class RequestFailure extends Error {
  readonly kind: FailureKind
  /** As Kafka names it, such as NOT_LEADER_OR_FOLLOWER; empty when nobody answered. */
  readonly brokerCode: string
  constructor (kind: FailureKind, message: string, { brokerCode = '', cause }: { readonly brokerCode?: string, readonly cause?: unknown } = {}) {
    super(message, { cause })
    this.name = 'RequestFailure'
    this.kind = kind
    this.brokerCode = brokerCode
  }
}

/** @param where such as `pi1:9092` */
export function failureOf (error: unknown, where: string): RequestFailure {
  if (error instanceof RequestFailure) return error
  const chain = errorsWithin(error)
  const isAnswer = error instanceof ResponseError
  const authentication = chain.find((each) => each instanceof AuthenticationError)
  const protocol = chain.find((each) => each instanceof ProtocolError) as (ProtocolError & { readonly apiId: string, readonly canRetry: boolean, readonly serverErrorMessage: string | null }) | undefined
  if (protocol !== undefined && (isAnswer || authentication !== undefined)) {
    const kind = kindOfCode[protocol.apiId] ?? (protocol.canRetry ? 'again' : 'refused')
    const said = protocol.serverErrorMessage ?? protocol.message
    return new RequestFailure(kind, `${where}: ${protocol.apiId}: ${said}`, { brokerCode: protocol.apiId, cause: error })
  }
  const certificate = chain.find((each) => certificateCode.test(codeOf(each)))
  if (certificate !== undefined) return new RequestFailure('denied', `${where}: ${certificate.message}`, { cause: error })
  // The password's proof is checked on our side too: then no broker's code is there, and no broken connection either.
  if (authentication !== undefined && !errorsWithin(authentication).some((each) => codeOf(each) === 'PLT_KFK_NETWORK')) {
    return new RequestFailure('denied', `${where}: ${authentication.message}`, { cause: error })
  }
  const own = chain.find((each) => each instanceof UserError)
  if (own !== undefined) return new RequestFailure(own.message.includes('TLS') ? 'denied' : 'refused', `${where}: ${own.message}`, { cause: error })
  return new RequestFailure('again', `${where}: ${chain.at(-1)?.message ?? String(error)}`, { cause: error })
}

/** An answer that says no without being an exception. */
export function failureOfCode (code: number, where: string): RequestFailure {
  const error = new ProtocolError(code) as ProtocolError & { readonly apiId: string, readonly canRetry: boolean }
  return new RequestFailure(kindOfCode[error.apiId] ?? (error.canRetry ? 'again' : 'refused'), `${where}: ${error.apiId}: ${error.message}`, { brokerCode: error.apiId, cause: error })
}

const errorCodeOf: Readonly<Record<FailureKind, OperatorErrorCode>> = {
  again: 'KAFKA_UNREACHABLE',
  lost: 'KAFKA_UNREACHABLE',
  member: 'KAFKA_UNREACHABLE',
  range: 'KAFKA_OUT_OF_RANGE',
  fenced: 'KAFKA_FENCED',
  denied: 'KAFKA_DENIED',
  refused: 'KAFKA_REFUSED'
}

/**
 * @param what was tried, such as `sending to orders-0`
 * @param right that it takes where brokers have ACLs, such as `Write on the topic orders`: they say themselves only that one is missing
 */
export function tollgateErrorOf (error: unknown, what: string, right: string): unknown {
  if (!(error instanceof RequestFailure)) return error
  const lack = error.brokerCode.endsWith('_AUTHORIZATION_FAILED') ? ` (our user needs the right ${right})` : ''
  return new TollgateError(errorCodeOf[error.kind], `${what}: ${error.message}${lack}`, { cause: error })
}

/** The error and all below it, the deepest last. */
function errorsWithin (error: unknown, depthMax = 8): Error[] {
  if (!(error instanceof Error) || depthMax === 0) return []
  const below = [error.cause, ...(error instanceof AggregateError ? error.errors as unknown[] : [])]
  return [error, ...below.flatMap((each) => errorsWithin(each, depthMax - 1))]
}

function codeOf (error: Error): string {
  if (error instanceof GenericError) return error.code
  return 'code' in error && typeof error.code === 'string' ? error.code : ''
}
