// The members' own view of their bills, over HTTP with their tokens.
import type { DemoProgram } from './program.ts'
import { table, thousands } from './report.ts'
import type { Caller } from './traffic.ts'

export interface Customer extends Caller {
  readonly memberId: number
  readonly apiKeyId: number
  readonly grade: string
  readonly token: string
  readonly memberToken: string
  readonly ratePerS: number
}

interface Charge { readonly totalCount: number, readonly totalCost: number }

async function charge<Result> (program: DemoProgram, customer: Customer, end: string): Promise<Result> {
  // Both days, so that a run over midnight (UTC) is whole.
  const from = new Date(Date.parse(program.today()) - 86_400_000).toISOString().slice(0, 10)
  const url = `${program.urls.billing}/api/aggregation/v1/member/${customer.memberId}/${end}?startDate=${from}&endDate=${program.today()}`
  const response = await fetch(url, { headers: { authorization: `Bearer ${customer.memberToken}` } })
  const content = await response.json() as { success: boolean, result: Result, message?: string }
  if (!content.success) throw new Error(`${url}: ${response.status} ${content.message ?? ''}`)
  return content.result
}

/** The sum of all customers' `/charge/total` counts. */
export async function fetchTotals (program: DemoProgram, customers: readonly Customer[]): Promise<number> {
  const totals = await Promise.all(customers.map((customer) => charge<Charge>(program, customer, 'charge/total')))
  return totals.reduce((sum, { totalCount }) => sum + totalCount, 0)
}

export async function billTable (program: DemoProgram, customers: readonly Customer[]): Promise<string> {
  const rows = await Promise.all(customers.map(async (customer) => {
    const bill = await charge<Charge & { apiKeys: readonly unknown[] }>(program, customer, 'charge')
    return [customer.name, customer.grade, String(bill.apiKeys.length), thousands(bill.totalCount), thousands(bill.totalCost)]
  }))
  return table(['member', 'grade', 'keys', 'requests', 'cost'], rows)
}
