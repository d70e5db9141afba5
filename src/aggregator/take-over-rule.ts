// What a new owner of a partition does with its file and the topic. A file is believed only when the topic's position lies
// in the file's own past: then the file has everything that the topic has, and perhaps more. Names of machines and ages of
// files say nothing. The only copy of anything is never dropped: where it isn't plain which side that is, a person decides.
import type { ProgressValue } from '../hourly-log/kafka-record.ts'

/** keep: go on with the file and publish what is newer. load: the topic in the place of the file. begin: nothing was ever counted. */
export type TakeOverDecision =
  | { readonly kind: 'keep' | 'load' | 'begin' }
  | { readonly kind: 'ask', readonly reason: string }

export interface TakeOverFacts {
  /** As it is now. */
  readonly hourlyTopicId: string
  /** The topic's last progress; undefined when it has none. */
  readonly progress: ProgressValue | undefined
  /** Undefined: there is no file, or none that was ever finished. */
  readonly file: {
    readonly hasCounted: boolean
    readonly hourlyTopicId: string
    /** The topic's position lies in the file's past. */
    readonly isAhead: boolean
    /** The topic has counted each of the file's streams at least as far. Asked only where the file is another topic's. */
    readonly isCovered: boolean
  } | undefined
  /** Gateways were told of something that was counted in this partition. Asked only when neither file nor topic knows anything. */
  readonly wasEverCounted: boolean
}

export function decideTakeOver ({ hourlyTopicId, progress, file, wasEverCounted }: TakeOverFacts): TakeOverDecision {
  if (progress?.hourlyTopicId !== undefined && progress.hourlyTopicId !== hourlyTopicId) return { kind: 'ask', reason: 'the topic of hourly counts was made anew while somebody published to it, so it holds only a part' }
  // Somebody has put the counts into the new topic already, by a file that was as far as this one or further.
  if (file?.isCovered === true && progress?.hourlyTopicId === hourlyTopicId) return { kind: 'load' }
  if (file?.hasCounted === true && file.hourlyTopicId !== hourlyTopicId) return { kind: 'ask', reason: 'the topic of hourly counts was made anew, and the file here holds what was counted before' }
  if (progress === undefined) {
    if (file?.hasCounted === true) return { kind: 'ask', reason: 'the topic of hourly counts is empty, and the file here holds what was counted' }
    if (wasEverCounted) return { kind: 'ask', reason: 'the topic of hourly counts is empty, and another aggregator has counted in this partition: its file may be the only copy' }
    return { kind: 'begin' }
  }
  return file?.isAhead === true ? { kind: 'keep' } : { kind: 'load' }
}
