// The ids by which one request is found again in every log on its way.
import { randomUUID } from 'node:crypto'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** The client's own id where the route trusts it and it is a UUID, as it stands; a new one else. */
export function traceIdOf (clientTraceId: string, isTrusted: boolean): string {
  return isTrusted && clientTraceId.length === 36 && uuid.test(clientTraceId) ? clientTraceId : randomUUID()
}

/** Version ff and ids of zeros alone are none (W3C Trace Context). */
const traceparent = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/
const noId = '00000000-0000-0000-0000-000000000000'

/**
 * The client's own where it is valid, as it stands: the gateway is no part of the trace. Else a new one, whose trace is
 * `traceId` without its hyphens. It says `sampled`: upstreams that ask their caller record, as they would without a gateway.
 */
export function traceparentOf (clientTraceparent: string, traceId: string): string {
  if (clientTraceparent.length === 55 && traceparent.test(clientTraceparent)) return clientTraceparent
  const trace = traceId === noId ? randomUUID() : traceId.toLowerCase()
  // The variant in a UUID's fourth group keeps it from being zeros alone.
  return '00-' + trace.replaceAll('-', '') + '-' + randomUUID().slice(19).replace('-', '') + '-01'
}
