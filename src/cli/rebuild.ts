// `tollgate rebuild`: the hourly counts once more, from the archive alone.
import { configOption, jsonOption } from './arguments.ts'
import { commandOf, errorText, printJson } from './command.ts'
import type { CommandContext } from './command.ts'
import type { DifferenceView, RebuildView, SumsView } from './handlers/proof.ts'
import { ask } from './program.ts'
import { tableText } from './table.ts'

const exitCodes = { equal: 0, different: 1, unchecked: 2 } as const

export const rebuildCommand = commandOf({
  name: 'tollgate rebuild',
  summary: 'Makes the hourly counts again from the archive alone and compares them with the stored ones. Nothing is changed. In a cluster: from the archives of all aggregators, asked at a billing server.',
  options: {
    apply: { description: 'Put them in the place of the stored ones, on one machine. Refused while an hour\'s archive is incomplete.' },
    json: jsonOption,
    config: configOption
  },
  details: 'Exit code 0: equal, or applied. 1: different. 2: could not compare everything, because the archive of an hour is incomplete.'
}, async (given, context) => {
  let report: RebuildView
  try {
    report = await ask<RebuildView>(given, context, 'rebuild', { apply: given.has('apply') })
  } catch (error) {
    context.io.error(errorText(error))
    return exitCodes.unchecked
  }
  if (given.has('json')) printJson(context, report)
  else printReport(report, context)
  if (report.differenceCount > 0 && !report.isApplied) return exitCodes.different
  return report.refusedHours.length > 0 ? exitCodes.unchecked : exitCodes.equal
})

const fields: readonly (keyof SumsView)[] = ['count', 'units', 'errorCount', 'requestBytes', 'responseBytes']

function printReport ({ rows, isApplied, refusedHours, differenceCount, differences }: RebuildView, { io }: CommandContext): void {
  if (differences.length > 0) {
    const columns = [{ title: 'hour' }, ...['member', 'key', 'endpoint'].map((title) => ({ title, isRight: true })), { title: '' }, ...fields.map((title) => ({ title, isRight: true }))]
    io.out(`${tableText(columns, differences.flatMap(differenceRows))}\n`)
  }
  if (differenceCount > differences.length) io.out(`and ${differenceCount - differences.length} more\n`)
  for (const hour of refusedHours) io.out(`could not compare: the archive of ${hour} is incomplete\n`)
  io.out(`${rows} hourly rows made again from the archive: ${differenceCount === 0 ? 'equal' : `${differenceCount} different`}${isApplied ? ', and put in the place of the stored ones' : ''}\n`)
}

function differenceRows ({ hour, memberId, apiKeyId, apiEndpointId, stored, rebuilt }: DifferenceView): string[][] {
  const row = (title: string, sums: SumsView | null): string[] => [hour, String(memberId), String(apiKeyId), String(apiEndpointId), title, ...fields.map((field) => sums?.[field] ?? '-')]
  return [row('stored', stored), row('rebuilt', rebuilt)]
}
