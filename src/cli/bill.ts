// `tollgate bill`: what a member used and what it costs, exactly.
import { usageGroupings } from '../billing/charge.ts'
import type { Usage, UsageGrouping, UsageLine, UsageSums } from '../billing/charge.ts'
import { formatMoney } from '../domain/money.ts'
import { UsageError, configOption, jsonOption } from './arguments.ts'
import { commandOf, exitCodes, printJson } from './command.ts'
import type { CommandContext } from './command.ts'
import { idBounds } from './member.ts'
import { ask } from './program.ts'
import { csvText, tableText } from './table.ts'

export const billCommand = commandOf({
  name: 'tollgate bill',
  summary: 'A member\'s bill: requests, units and their exact cost by the price book\'s prices of each hour.',
  options: {
    member: { value: 'ID', description: 'Whose bill.', isRequired: true },
    from: { value: 'DAY', description: 'First day, UTC, yyyy-MM-dd.', isRequired: true },
    to: { value: 'DAY', description: 'Last day, included.', isRequired: true },
    by: { value: 'WHAT', description: `What a line stands for: ${usageGroupings.join(', ')}; day without it.` },
    key: { value: 'ID', description: 'Only this key.' },
    json: jsonOption,
    csv: { description: 'Print CSV.' },
    config: configOption
  }
}, async (given, context) => {
  const by = usageGroupings.find((known) => known === (given.text('by') ?? 'day'))
  if (by === undefined) throw new UsageError(`--by must be one of ${usageGroupings.join(', ')}`, 'tollgate bill --help shows what it takes')
  if (given.has('json') && given.has('csv')) throw new UsageError('--json and --csv exclude each other', 'choose one')
  const usage = await ask<Usage>(given, context, 'bill', {
    memberId: given.integer('member', idBounds), apiKeyId: given.integer('key', idBounds), from: given.text('from'), to: given.text('to'), by
  })
  if (given.has('json')) printJson(context, usage)
  else if (given.has('csv')) context.io.out(billCsv(usage))
  else printBill(usage, context)
  return exitCodes.ok
})

const labels: Readonly<Record<UsageGrouping, readonly { readonly title: string, readonly of: (line: UsageLine) => string }[]>> = {
  day: [{ title: 'day', of: ({ date }) => date ?? '' }],
  hour: [{ title: 'day', of: ({ date }) => date ?? '' }, { title: 'hour', of: ({ hour }) => String(hour).padStart(2, '0') }],
  key: [{ title: 'key', of: ({ apiKeyId }) => String(apiKeyId) }],
  endpoint: [{ title: 'endpoint', of: ({ apiEndpointId, endpoint }) => endpoint ?? (apiEndpointId === 0 ? 'unpriced' : `${apiEndpointId} (not in the price book)`) }]
}

function sumCells ({ count, errorCount, units, costMicros }: UsageSums): string[] {
  return [String(count), String(errorCount), units, formatMoney(BigInt(costMicros))]
}

function printBill (usage: Usage, { io }: CommandContext): void {
  const columns = labels[usage.by]
  const hasState = usage.by === 'day' || usage.by === 'hour'
  const stateOf = ({ isComplete }: UsageLine): string[] => hasState ? [isComplete === true ? 'complete' : 'open'] : []
  const total = ['total', ...columns.slice(1).map(() => ''), ...sumCells(usage.total), ...hasState ? [''] : []]
  io.out(`Member ${usage.memberId}, ${usage.from} to ${usage.to} (UTC)\n\n`)
  io.out(tableText(
    [...columns.map(({ title }) => ({ title })), ...['requests', 'errors', 'units', `cost ${usage.currency}`].map((title) => ({ title, isRight: true })), ...hasState ? [{ title: 'state' }] : []],
    [...usage.lines.map((line) => [...columns.map(({ of }) => of(line)), ...sumCells(line), ...stateOf(line)]), total]
  ))
  if (usage.unpriced.count > 0) io.out(`\nunpriced: ${usage.unpriced.count} requests match no endpoint of the price book and cost nothing\n`)
  io.out(usage.completeBefore === null ? '\nno hour is complete yet\n' : `\ncomplete before ${usage.completeBefore}\n`)
}

function billCsv (usage: Usage): string {
  const columns = labels[usage.by]
  return csvText(
    [...columns.map(({ title }) => title), 'requests', 'errors', 'units', 'requestBytes', 'responseBytes', 'cost', 'currency'],
    usage.lines.map((line) => [...columns.map(({ of }) => of(line)), String(line.count), String(line.errorCount), line.units, String(line.requestBytes), String(line.responseBytes), formatMoney(BigInt(line.costMicros)), usage.currency])
  )
}
