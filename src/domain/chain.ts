// The one rule that makes an event count once, used by every reader of a usage log.
//
// A stream is one opening of a journal. Within a stream and a partition each record names its predecessor, so a reader
// that remembers one number per stream and partition can tell a new record from a repeated one and from one whose
// predecessor is missing, whatever was retried, reordered, restored or lost on the way. Nothing depends on a time window.

/**
 * What to do with records `firstSeq..lastSeq` of one stream and partition, given the last seq already taken.
 * `count`: take those above `takeAfterSeq`, then remember `lastSeq`. `duplicate`: drop. `gap`: take nothing, remember
 * nothing, report: the records after `lastTakenSeq` are missing.
 */
export type ChainVerdict =
  | { readonly kind: 'count', readonly takeAfterSeq: number }
  | { readonly kind: 'duplicate' }
  | { readonly kind: 'gap', readonly afterSeq: number }

/**
 * @param lastTakenSeq the last seq taken from this stream and partition; 0 before the first
 * @param run a run of records each of which names the one before it: `prevSeq` is what the first one names
 */
export function followChain (lastTakenSeq: number, run: { readonly prevSeq: number, readonly lastSeq: number }): ChainVerdict {
  if (run.lastSeq <= lastTakenSeq) return { kind: 'duplicate' }
  if (run.prevSeq <= lastTakenSeq) return { kind: 'count', takeAfterSeq: lastTakenSeq }
  return { kind: 'gap', afterSeq: lastTakenSeq }
}
