// What each panel of the dashboards must show of usage events, worked out by DuckDB from the same lines.
import { query, sqlText } from './oracle-archive.ts'

/** Rows as the panel's own, in no order; SQL over the table `events`, whose times are TIMESTAMPs. */
const statements: Readonly<Record<string, string>> = {
  'tollgate-requests-by-status': `select ${timeOf('minute')}, (responseStatus // 100)::varchar || 'xx', count(*) from events group by 1, 2`,
  'tollgate-upstream-latency': `select ${timeOf('minute')}, quantile_cont(upstreamLatencyMs, 0.5), quantile_cont(upstreamLatencyMs, 0.95), quantile_cont(upstreamLatencyMs, 0.99) from events group by 1`,
  'tollgate-top-routes': 'select routeId, count(*) from events group by 1',
  'tollgate-top-members': 'select memberId, count(*) from events where memberId is not null group by 1',
  'tollgate-top-keys': 'select apiKeyId, count(*) from events where apiKeyId is not null group by 1',
  'tollgate-errors-by-code': 'select errorCode, count(*) from events where errorCode is not null group by 1',
  'tollgate-units-by-day': `select ${timeOf('day')}, sum(units) from events group by 1`,
  'tollgate-units-by-member': 'select memberId, sum(units) from events where memberId is not null group by 1',
  'tollgate-units-by-grade': 'select memberGrade, sum(units) from events where memberGrade is not null group by 1',
  'tollgate-units-by-endpoint': 'select apiEndpointId, sum(units) from events group by 1'
}

export const expectedPanels: readonly string[] = Object.keys(statements)

function timeOf (unit: 'minute' | 'day'): string { return `strftime(date_trunc('${unit}', requestTime), '%Y-%m-%dT%H:%M:%S.000Z')` }

/** @param file NDJSON of usage events */
export async function expectedRows (panelId: string, file: string): Promise<(string | number)[][]> {
  const statement = statements[panelId]
  if (statement === undefined) throw new Error(`nothing is expected of panel ${panelId}`)
  const rows = await query(`with events as (select * from read_json(${sqlText(file)}, format = 'newline_delimited', timestampformat = '%Y-%m-%dT%H:%M:%S.%gZ', columns = {
    requestTime: 'TIMESTAMP', responseStatus: 'INTEGER', upstreamLatencyMs: 'DOUBLE', routeId: 'VARCHAR', memberId: 'BIGINT', apiKeyId: 'BIGINT', errorCode: 'VARCHAR', memberGrade: 'VARCHAR', apiEndpointId: 'BIGINT', units: 'BIGINT' })) ${statement}`)
  return rows.map((row) => Object.values(row).map((value) => typeof value === 'string' ? value : Number(value)))
}
