// The shape that every line of a usage log has, as the gateway's encoder writes it: fields in one order, numbers as plain
// digits, texts as texts. DuckDB alone would read `true` as the number 1 and 1.4 as 1, and a request would be billed to a
// member that nobody named. A line of any other shape isn't refused here; it is read slowly and strictly instead.

const text = '"(?:[^"\\\\\\x00-\\x1f]|\\\\.)+"'
const number = '\\d{1,16}'
const time = '"\\d{4}-\\d\\d-\\d\\dT(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d\\.\\d{3}Z"'
const uuid = '"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"'
const traceparent = '"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"'
const grade = '"GRADE_(?:FREE|CLASSIC|PREMIUM)"'

const fields: readonly (readonly [field: string, pattern: string, isOptional?: true])[] = [
  ['eventId', uuid], ['requestTime', time], ['responseTime', time], ['requestProtocol', text], ['requestMethod', text],
  ['requestUri', text], ['responseStatus', number], ['errorCode', text, true], ['clientIp', text, true],
  ['clientAgent', text, true], ['apiKeyId', number, true], ['memberId', number, true], ['memberGrade', grade, true],
  ['traceId', text], ['traceparent', traceparent, true], ['routeId', text], ['apiEndpointId', number], ['gatewayId', text], ['requestBytes', number],
  ['responseBytes', number], ['upstreamLatencyMs', number, true], ['units', number], ['schemaVersion', number],
  ['streamId', uuid], ['seq', number], ['prevSeq', number]
]

const linePattern = new RegExp('\\{' + fields.map(([field, pattern, isOptional], index) => {
  const pair = `${index === 0 ? '' : ','}"${field}":${pattern}`
  return isOptional === true ? `(?:${pair})?` : pair
}).join('') + '\\}\\n', 'y')

/** Bytes looked at together: enough to be worth a call, few enough to stay in the processor's cache. */
const windowBytes = 65_536

/**
 * True when every line of `block` has the encoder's shape. About 0.8 us a line.
 * @param block NDJSON, every line ended
 */
export function isShaped (block: Buffer): boolean {
  let start = 0
  while (start < block.length) {
    const end = start + windowBytes >= block.length ? block.length : block.lastIndexOf(0x0a, start + windowBytes) + 1
    if (end <= start || !isWindowShaped(block.toString('latin1', start, end))) return false
    start = end
  }
  return true
}

function isWindowShaped (window: string): boolean {
  linePattern.lastIndex = 0
  while (linePattern.lastIndex < window.length) if (!linePattern.test(window)) return false
  return true
}

/** Lines that are ended; undefined when the last one isn't. */
export function countLines (block: Buffer): number | undefined {
  if (block.length > 0 && block[block.length - 1] !== 0x0a) return undefined
  let lines = 0
  for (let at = block.indexOf(0x0a); at >= 0; at = block.indexOf(0x0a, at + 1)) lines++
  return lines
}
