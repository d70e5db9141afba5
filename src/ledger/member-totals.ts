// Many members' sums in one question: a page of members first, then what belongs to them, added up by DuckDB as far as one
// price applies.
import { daysBetween, daysDividedBy } from '../domain/window.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import { selectMembers, selectMemberTotals } from './ledger-sql.ts'
import type { MemberTotal, MemberTotals, MemberTotalsQuery } from './ledger-types.ts'
import { checkRows, memberHoursMax } from './member-hours.ts'

/** Part of a transaction: both questions see the same rows. */
export async function readMemberTotals (connection: SqlConnection, folds: readonly number[], { afterMemberId, membersMax, fromHour, toHour, splitHours }: MemberTotalsQuery): Promise<MemberTotals> {
  const members = await connection.rows<{ memberId: bigint }>(selectMembers(folds), [afterMemberId, fromHour, toHour, membersMax + 1])
  const last = members.slice(0, membersMax).at(-1)
  if (last === undefined) return { rows: [], hasMore: false }
  const splitDays = daysDividedBy(splitHours).map((hour) => daysBetween(0, hour))
  const rows = await connection.rows<MemberTotal & { readonly [column: string]: unknown }>(
    selectMemberTotals(folds, { splitHours, splitDays, rowsMax: memberHoursMax + 1 }), [afterMemberId, fromHour, toHour, Number(last.memberId)])
  checkRows(rows.length)
  return { rows, hasMore: members.length > membersMax }
}
