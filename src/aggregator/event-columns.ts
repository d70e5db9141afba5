// The columns of an event wherever it is a row: staged in memory, and in the archive's Parquet files.

/** Field of the event's JSON and its type in SQL, in the order of the archive's columns. */
export const eventColumns = {
  streamId: 'VARCHAR',
  seq: 'BIGINT',
  prevSeq: 'BIGINT',
  gatewayId: 'VARCHAR',
  eventId: 'VARCHAR',
  requestTime: 'TIMESTAMP',
  responseTime: 'TIMESTAMP',
  requestProtocol: 'VARCHAR',
  requestMethod: 'VARCHAR',
  requestUri: 'VARCHAR',
  responseStatus: 'INTEGER',
  errorCode: 'VARCHAR',
  clientIp: 'VARCHAR',
  clientAgent: 'VARCHAR',
  apiKeyId: 'BIGINT',
  memberId: 'BIGINT',
  memberGrade: 'VARCHAR',
  traceId: 'VARCHAR',
  traceparent: 'VARCHAR',
  routeId: 'VARCHAR',
  apiEndpointId: 'BIGINT',
  requestBytes: 'BIGINT',
  responseBytes: 'BIGINT',
  upstreamLatencyMs: 'BIGINT',
  units: 'BIGINT',
  schemaVersion: 'INTEGER'
} as const

export const eventColumnNames: readonly string[] = Object.keys(eventColumns)

/** Columns that files of older versions lack: nobody's count depends on them. */
export const addedColumns = { traceparent: eventColumns.traceparent } as const

/** What counting needs of an event. */
export const countedColumnNames = [
  'streamId', 'seq', 'gatewayId', 'requestTime', 'responseStatus', 'errorCode', 'apiKeyId', 'memberId', 'apiEndpointId', 'requestBytes', 'responseBytes', 'upstreamLatencyMs', 'units'
] as const satisfies readonly (keyof typeof eventColumns)[]

/** Names of the archive's columns: an event, and the partition of the usage log that it came from. */
export const archiveColumnNames: readonly string[] = [...eventColumnNames, 'sourcePartition']
