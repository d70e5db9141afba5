// The id by which one request is found again in every log on its way.
import { randomUUID } from 'node:crypto'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** The client's own id where the route trusts it and it is a UUID, as it stands; a new one else. */
export function traceIdOf (clientTraceId: string, isTrusted: boolean): string {
  return isTrusted && clientTraceId.length === 36 && uuid.test(clientTraceId) ? clientTraceId : randomUUID()
}
