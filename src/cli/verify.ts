// `tollgate verify`: the proof, hour by hour. Exit code 0: equal or acknowledged; 1: a difference, dead letter or void; 2:
// something could not be checked, also when the command itself failed.
import { UsageError, configOption, jsonOption } from './arguments.ts'
import { commandOf, errorText, exitCodes, printJson } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { verifyWaitSMax } from './handlers/proof.ts'
import type { AcknowledgementView, VerifyView } from './handlers/proof.ts'
import { ask } from './program.ts'
import { tableText } from './table.ts'

const verify = commandOf({
  name: 'tollgate verify',
  summary: 'Proves conservation from the stores: for each gateway and hour, what was answered is journaled, archived, counted and billed.',
  options: {
    wait: { value: 'SECONDS', description: 'Wait until all that was answered so far is counted; not longer than this.' },
    json: jsonOption,
    config: configOption
  },
  details: `Exit code 0: all equal, or acknowledged. 1: a difference, a dead letter or a void. 2: could not check.
An hour that goes on is compared at its gateway's last statement and shown as open.

tollgate verify acknowledge GATEWAY HOUR --reason TEXT records that a row was looked at.`
}, async (given, context) => {
  const report = await ask<VerifyView>(given, context, 'verify', { waitS: given.integer('wait', { min: 0, max: verifyWaitSMax }) })
  if (given.has('json')) printJson(context, report)
  else printReport(report, context)
  return report.exitCode
})

const acknowledge = commandOf({
  name: 'tollgate verify acknowledge',
  summary: 'Records, for ever, that somebody has looked at a row of verify and accepts it. It covers exactly the numbers shown.',
  positionals: [{ name: 'GATEWAY', description: 'As in the table.' }, { name: 'HOUR', description: 'As in the table, such as 2026-01-15T12.' }],
  options: { reason: { value: 'TEXT', description: 'Why it is accepted.', isRequired: true }, json: jsonOption, config: configOption }
}, async (given, context) => {
  const [gatewayId, hour] = given.positionals
  const kept = await ask<AcknowledgementView>(given, context, 'verify.acknowledge', { gatewayId, hour, reason: given.text('reason') })
  if (given.has('json')) printJson(context, kept)
  else context.io.out(`${kept.gatewayId} ${kept.hour} is acknowledged: ${kept.row.problems.join('; ')}\n`)
  return exitCodes.ok
})

export const verifyCommand: Command = async ([first, ...rest], context) => {
  try {
    return first === 'acknowledge' ? await acknowledge(rest, context) : await verify(first === undefined ? [] : [first, ...rest], context)
  } catch (error) {
    if (error instanceof UsageError) throw error
    context.io.error(errorText(error))
    return 2
  }
}

const counted = [
  ['answered', 'answered'], ['recovered', 'recovered'], ['journaled', 'journaled'], ['countedOnly', 'counted only'], ['archived', 'archived'],
  ['deadLettered', 'dead letters'], ['voided', 'void'], ['billable', 'billable'], ['notBillable', 'not billable']
] as const

function printReport ({ rows, problems, unchecked, warnings = [], exitCode }: VerifyView, { io }: CommandContext): void {
  const columns = [{ title: 'hour' }, { title: 'gateway' }, ...counted.map(([, title]) => ({ title, isRight: true })), { title: 'ledger', isRight: true }, { title: 'status' }]
  io.out(tableText(columns, rows.map((row) => [row.hour, row.gatewayId, ...counted.map(([field]) => String(row[field])), row.ledgerCount === null ? '-' : String(row.ledgerCount), row.status])))
  for (const row of rows) for (const problem of row.problems) io.out(`${row.status}: ${row.gatewayId} ${row.hour}: ${problem}\n`)
  for (const problem of problems) io.out(`difference: ${problem}\n`)
  for (const warning of warnings) io.out(`warning: ${warning}\n`)
  for (const reason of unchecked) io.out(`could not check: ${reason}\n`)
  io.out(`\n${verdicts[exitCode]}\n`)
}

const verdicts = {
  0: 'verify ok: answered = journaled = archived = counted',
  1: 'verify failed: the rows above differ, or have dead letters or voids that nobody has acknowledged',
  2: 'verify could not check everything'
} as const
