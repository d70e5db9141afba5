// The fields of a usage event as those see it who read it elsewhere: what each is, in this program's own words. Mappings,
// pipelines and dashboards are made from this list (monitoring/), so that none of them can know a field that isn't there.

export type EventFieldKind =
  /** Identifiers and other texts that are compared as a whole. */
  | 'uuid' | 'text'
  /** yyyy-MM-dd'T'HH:mm:ss.SSS'Z', UTC. */
  | 'time'
  /** Whole numbers: names of something, and amounts. */
  | 'number' | 'amount'
  /** IPv4 or IPv6. */
  | 'address'

export interface EventField {
  readonly kind: EventFieldKind
  readonly isRequired: boolean
  readonly meaning: string
}

/** In the order in which the journal writes them. */
export const eventFields = {
  eventId: { kind: 'uuid', isRequired: true, meaning: 'Names the event' },
  requestTime: { kind: 'time', isRequired: true, meaning: 'When the request began; the hour that it is billed in' },
  responseTime: { kind: 'time', isRequired: true, meaning: 'When its answer ended' },
  requestProtocol: { kind: 'text', isRequired: true, meaning: 'Such as HTTP/1.1' },
  requestMethod: { kind: 'text', isRequired: true, meaning: 'Such as GET' },
  requestUri: { kind: 'text', isRequired: true, meaning: 'The path alone: no scheme, host, query' },
  responseStatus: { kind: 'number', isRequired: true, meaning: 'The status of the answer' },
  errorCode: { kind: 'text', isRequired: false, meaning: 'Where the gateway made the answer itself: G0001 and so on' },
  clientIp: { kind: 'address', isRequired: false, meaning: 'The client\'s address' },
  clientAgent: { kind: 'text', isRequired: false, meaning: 'What the client calls itself' },
  apiKeyId: { kind: 'number', isRequired: false, meaning: 'The key\'s number, never the key' },
  memberId: { kind: 'number', isRequired: false, meaning: 'The member' },
  memberGrade: { kind: 'text', isRequired: false, meaning: 'The grade of its key' },
  traceId: { kind: 'text', isRequired: true, meaning: 'X-TRACE-ID of request and answer' },
  traceparent: { kind: 'text', isRequired: false, meaning: 'W3C trace context as the upstream got it: version, trace, parent, flags' },
  routeId: { kind: 'text', isRequired: true, meaning: 'The route of the configuration' },
  apiEndpointId: { kind: 'number', isRequired: true, meaning: 'The endpoint of the price book; 0 for none' },
  gatewayId: { kind: 'text', isRequired: true, meaning: 'The gateway that answered' },
  requestBytes: { kind: 'amount', isRequired: true, meaning: 'Bytes of the request\'s body' },
  responseBytes: { kind: 'amount', isRequired: true, meaning: 'Bytes of the answer\'s body' },
  upstreamLatencyMs: { kind: 'amount', isRequired: false, meaning: 'From the request\'s start to the head of the upstream\'s answer; where one answered' },
  units: { kind: 'amount', isRequired: true, meaning: 'Units that it costs' },
  schemaVersion: { kind: 'number', isRequired: true, meaning: 'Of the event\'s shape' },
  streamId: { kind: 'uuid', isRequired: true, meaning: 'The stream: one opening of a gateway\'s journal' },
  seq: { kind: 'amount', isRequired: true, meaning: 'The event\'s place in its stream' },
  prevSeq: { kind: 'amount', isRequired: true, meaning: 'The event before it in stream and partition' }
} as const satisfies Readonly<Record<string, EventField>>

export type EventFieldName = keyof typeof eventFields
