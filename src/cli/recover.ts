// `tollgate recover`: decides for an aggregator whose own counts and whose topic contradict each other.
import { UsageError, configOption, jsonOption } from './arguments.ts'
import { commandOf, exitCodes, printJson } from './command.ts'
import { ask } from './program.ts'

const partitionMax = 999_999
const consequences = {
  file: `The aggregator's own counts of the partition are kept, and all of them are written to the topic. Every ledger reads the
partition again. What the topic held and the file doesn't is gone from the bills.`,
  topic: `The topic's counts of the partition are kept, and the aggregator's file is set aside (the last one is kept). What the
file had counted and never published is counted again from the usage log, as far as Kafka or the gateways still have it.`
} as const

export const recoverCommand = commandOf({
  name: 'tollgate recover',
  summary: 'Tells an aggregator which copy of a partition\'s counts is the right one, after it has refused to go on (RECOVER_NEEDED).',
  options: {
    partition: { value: 'NUMBER', description: 'The partition that the log names.', isRequired: true },
    keep: { value: 'WHICH', description: 'file: the aggregator\'s own counts; topic: what stands in Kafka.', isRequired: true },
    yes: { description: 'Do it. Without it the consequences are shown, and nothing is changed.' },
    json: jsonOption,
    config: configOption
  },
  details: `--keep file: the topic was lost, deleted or made anew, and this machine has the counts.
--keep topic: this machine's file is an older copy, or another cluster's.`
}, async (given, context) => {
  const keep = given.text('keep')
  if (keep !== 'file' && keep !== 'topic') throw new UsageError('--keep must be file or topic', 'tollgate recover --help shows what it takes')
  const partition = given.integer('partition', { min: 0, max: partitionMax })
  if (!given.has('yes')) {
    context.io.error(`partition ${partition}, --keep ${keep}:\n${consequences[keep]}\n\nNothing was changed. Add --yes to do it.\n`)
    return exitCodes.failed
  }
  const answer = await ask<unknown>(given, context, 'recover', { partition, keep })
  if (given.has('json')) printJson(context, answer)
  else context.io.out(`partition ${partition} goes on with ${keep === 'file' ? 'the counts of this machine\'s file' : 'the counts of the topic'}\n`)
  return exitCodes.ok
})
