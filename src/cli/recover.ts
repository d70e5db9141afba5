// `tollgate recover`: what an aggregator can't decide by itself. Its own counts and its topic contradict each other, or records are
// missing that nobody will ever bring.
import { UsageError, configOption, jsonOption } from './arguments.ts'
import type { Arguments } from './arguments.ts'
import { commandOf, exitCodes, printJson } from './command.ts'
import type { CommandContext } from './command.ts'
import { ask } from './program.ts'

const partitionMax = 999_999
const hint = 'tollgate recover --help shows what it takes'
const consequences = {
  file: `The aggregator's own counts of the partition are kept, and all of them are written to the topic. Every ledger reads the
partition again. What the topic held and the file doesn't is gone from the bills.`,
  topic: `The topic's counts of the partition are kept, and the aggregator's file is set aside (the last one is kept). What the
file had counted and never published is counted again from the usage log, as far as Kafka or the gateways still have it.`,
  giveUp: `The missing records of the stream are void: on no bill, but for those that were counted before, and in no archive.
What follows them in the usage log is counted; for that, all of it is read again. A journal that comes back later brings them no
more: where it may still come, start its gateway instead. \`tollgate verify\` shows what is lost, until it is acknowledged.`
} as const

/** What is to be done, asked of the running aggregator, and how to say that it was. */
interface Decision { readonly title: string, readonly consequence: string, readonly question: string, readonly argument: Readonly<Record<string, unknown>>, readonly done: (answer: unknown) => string }

function decisionOf (given: Arguments): Decision {
  const partition = given.integer('partition', { min: 0, max: partitionMax })
  const [keep, streamId, reason] = ['keep', 'give-up', 'reason'].map((name) => given.text(name))
  if ((keep === undefined) === (streamId === undefined)) throw new UsageError('either --keep or --give-up is needed', hint)
  if (streamId !== undefined) {
    if (reason === undefined || reason.trim() === '') throw new UsageError('--give-up needs a --reason: it stays on the record', hint)
    return {
      title: `--give-up ${streamId}`,
      consequence: consequences.giveUp,
      question: 'recover.gap',
      argument: { partition, streamId, reason },
      done: (answer) => {
        const { afterSeq, toSeq } = answer as { readonly afterSeq: number, readonly toSeq: number }
        return `seq ${afterSeq + 1} to ${toSeq} of stream ${streamId} are given up in partition ${partition}`
      }
    }
  }
  if (keep !== 'file' && keep !== 'topic') throw new UsageError('--keep must be file or topic', hint)
  if (reason !== undefined) throw new UsageError('--reason goes with --give-up', hint)
  return {
    title: `--keep ${keep}`,
    consequence: consequences[keep],
    question: 'recover',
    argument: { partition, keep },
    done: () => `partition ${partition} goes on with ${keep === 'file' ? 'the counts of this machine\'s file' : 'the counts of the topic'}`
  }
}

async function recover (given: Arguments, context: CommandContext): Promise<number> {
  const { title, consequence, question, argument, done } = decisionOf(given)
  if (!given.has('yes')) {
    context.io.error(`partition ${String(argument['partition'])}, ${title}:\n${consequence}\n\nNothing was changed. Add --yes to do it.\n`)
    return exitCodes.failed
  }
  const answer = await ask<unknown>(given, context, question, argument)
  if (given.has('json')) printJson(context, answer)
  else context.io.out(`${done(answer)}\n`)
  return exitCodes.ok
}

export const recoverCommand = commandOf({
  name: 'tollgate recover',
  summary: 'Decides for an aggregator what it can\'t know: which copy of a partition\'s counts is the right one (RECOVER_NEEDED), or that missing records never come (USAGE_LOG_GAP).',
  options: {
    partition: { value: 'NUMBER', description: 'The partition that the log names.', isRequired: true },
    keep: { value: 'WHICH', description: 'file: the aggregator\'s own counts; topic: what stands in Kafka.' },
    'give-up': { value: 'STREAM', description: 'The stream whose records are missing, as /readyz and the log name it: its gateway\'s journal is gone.' },
    reason: { value: 'TEXT', description: 'Why it is given up; kept with the void and in the audit log.' },
    yes: { description: 'Do it. Without it the consequences are shown, and nothing is changed.' },
    json: jsonOption,
    config: configOption
  },
  details: `--keep file: the topic was lost, deleted or made anew, and this machine has the counts.
--keep topic: this machine's file is an older copy, or another cluster's.
--give-up: the journal that had the records is lost for good, and Kafka lost them too.`
}, recover)
