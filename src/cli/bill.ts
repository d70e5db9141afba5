// `tollgate bill`: what a member used and what it costs, exactly; or all members, a line each.
import { usageGroupings } from '../billing/charge.ts'
import type { Usage, UsageGrouping, UsageLine, UsageSums } from '../billing/charge.ts'
import type { MemberLine, MembersUsage } from '../billing/members.ts'
import { formatMoney } from '../domain/money.ts'
import { UsageError, configOption, jsonOption } from './arguments.ts'
import type { Arguments } from './arguments.ts'
import { commandOf, exitCodes, printJson } from './command.ts'
import type { CommandContext } from './command.ts'
import { idBounds } from './member.ts'
import { ask } from './program.ts'
import { csvText, tableText } from './table.ts'
import type { Column } from './table.ts'

export const billCommand = commandOf({
  name: 'tollgate bill',
  summary: 'A member\'s bill, or all members\', a line each: requests, units and their exact cost by the price book\'s prices of each hour.',
  options: {
    member: { value: 'ID', description: 'Whose bill; without it all members\'.' },
    from: { value: 'DAY', description: 'First day, UTC, yyyy-MM-dd.', isRequired: true },
    to: { value: 'DAY', description: 'Last day, included.', isRequired: true },
    by: { value: 'WHAT', description: `What a line of a member\'s bill stands for: ${usageGroupings.join(', ')}; day without it.` },
    key: { value: 'ID', description: 'Only this key of the member.' },
    json: jsonOption,
    csv: { description: 'Print CSV.' },
    config: configOption
  }
}, async (given, context) => {
  const by = usageGroupings.find((known) => known === (given.text('by') ?? 'day'))
  if (by === undefined) throw new UsageError(`--by must be one of ${usageGroupings.join(', ')}`, 'tollgate bill --help shows what it takes')
  if (given.has('json') && given.has('csv')) throw new UsageError('--json and --csv exclude each other', 'choose one')
  const memberId = given.integer('member', idBounds)
  if (memberId === undefined) return await billMembers(given, context)
  const usage = await ask<Usage>(given, context, 'bill', {
    memberId, apiKeyId: given.integer('key', idBounds), from: given.text('from'), to: given.text('to'), by
  })
  if (given.has('json')) printJson(context, usage)
  else if (given.has('csv')) context.io.out(billCsv(usage))
  else printBill(usage, context)
  return exitCodes.ok
})

/** Page by page, so that no answer is larger than a page however many members there are. */
async function billMembers (given: Arguments, context: CommandContext): Promise<number> {
  for (const option of ['by', 'key']) if (given.has(option)) throw new UsageError(`--${option} is for the bill of one member`, 'add --member ID')
  const pages: MembersUsage[] = []
  for (let after: number | null | undefined; after !== null; after = pages.at(-1)?.next ?? null) {
    pages.push(await ask<MembersUsage>(given, context, 'bill.members', { from: given.text('from'), to: given.text('to'), after }))
  }
  const [first] = pages as [MembersUsage]
  const bill = { ...first, members: pages.flatMap(({ members }) => members) }
  if (given.has('json')) printJson(context, { from: bill.from, to: bill.to, currency: bill.currency, members: bill.members, completeBefore: bill.completeBefore })
  else if (given.has('csv')) context.io.out(membersCsv(bill))
  else printMembers(bill, context)
  return exitCodes.ok
}

function printMembers ({ from, to, currency, members, completeBefore }: MembersUsage, { io }: CommandContext): void {
  const sum = (valueOf: (line: MemberLine) => bigint): bigint => members.reduce((total, line) => total + valueOf(line), 0n)
  const total = sumCells({
    count: Number(sum(({ count }) => BigInt(count))), errorCount: Number(sum(({ errorCount }) => BigInt(errorCount))), units: String(sum(({ units }) => BigInt(units))), costMicros: String(sum(({ costMicros }) => BigInt(costMicros)))
  })
  const unpriced = sum((line) => BigInt(line.unpriced.count))
  io.out(`All members, ${from} to ${to} (UTC)\n\n`)
  io.out(tableText([{ title: 'member', isRight: true }, ...sumColumns(currency)], [...members.map((line) => [String(line.memberId), ...sumCells(line)]), ['total', ...total]]))
  if (unpriced > 0n) io.out(unpricedText(unpriced))
  io.out(completeText(completeBefore))
}

function membersCsv ({ currency, members }: MembersUsage): string {
  return csvText(['member', ...csvSumColumns], members.map((line) => [String(line.memberId), ...csvSumCells(line, currency)]))
}

const labels: Readonly<Record<UsageGrouping, readonly { readonly title: string, readonly of: (line: UsageLine) => string }[]>> = {
  day: [{ title: 'day', of: ({ date }) => date ?? '' }],
  hour: [{ title: 'day', of: ({ date }) => date ?? '' }, { title: 'hour', of: ({ hour }) => String(hour).padStart(2, '0') }],
  key: [{ title: 'key', of: ({ apiKeyId }) => String(apiKeyId) }],
  endpoint: [{ title: 'endpoint', of: ({ apiEndpointId, endpoint }) => endpoint ?? (apiEndpointId === 0 ? 'unpriced' : `${apiEndpointId} (not in the price book)`) }]
}

function sumColumns (currency: string): Column[] { return ['requests', 'errors', 'units', `cost ${currency}`].map((title) => ({ title, isRight: true })) }

function sumCells ({ count, errorCount, units, costMicros }: Omit<UsageSums, 'requestBytes' | 'responseBytes'>): string[] {
  return [String(count), String(errorCount), units, formatMoney(BigInt(costMicros))]
}

function printBill (usage: Usage, { io }: CommandContext): void {
  const columns = labels[usage.by]
  const hasState = usage.by === 'day' || usage.by === 'hour'
  const stateOf = ({ isComplete }: UsageLine): string[] => hasState ? [isComplete === true ? 'complete' : 'open'] : []
  const total = ['total', ...columns.slice(1).map(() => ''), ...sumCells(usage.total), ...hasState ? [''] : []]
  io.out(`Member ${usage.memberId}, ${usage.from} to ${usage.to} (UTC)\n\n`)
  io.out(tableText(
    [...columns.map(({ title }) => ({ title })), ...sumColumns(usage.currency), ...hasState ? [{ title: 'state' }] : []],
    [...usage.lines.map((line) => [...columns.map(({ of }) => of(line)), ...sumCells(line), ...stateOf(line)]), total]
  ))
  if (usage.unpriced.count > 0) io.out(unpricedText(usage.unpriced.count))
  io.out(completeText(usage.completeBefore))
}

function unpricedText (count: number | bigint): string { return `\nunpriced: ${count} requests match no endpoint of the price book and cost nothing\n` }

function completeText (completeBefore: string | null): string { return completeBefore === null ? '\nno hour is complete yet\n' : `\ncomplete before ${completeBefore}\n` }

function billCsv (usage: Usage): string {
  const columns = labels[usage.by]
  return csvText(
    [...columns.map(({ title }) => title), ...csvSumColumns],
    usage.lines.map((line) => [...columns.map(({ of }) => of(line)), ...csvSumCells(line, usage.currency)])
  )
}

const csvSumColumns = ['requests', 'errors', 'units', 'requestBytes', 'responseBytes', 'cost', 'currency']

function csvSumCells ({ count, errorCount, units, requestBytes, responseBytes, costMicros }: UsageSums, currency: string): string[] {
  return [String(count), String(errorCount), units, String(requestBytes), String(responseBytes), formatMoney(BigInt(costMicros)), currency]
}
