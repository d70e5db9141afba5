// The single lines of a run, for the rare case that a run is not taken as a whole: a part of it was taken before, or one
// of its lines can't be read. A line keeps its place in the chain even when nothing of it can be read.
import { parseUsageEvent } from '../domain/usage-event.ts'
import type { ChainPosition, UsageEvent } from '../domain/usage-event.ts'
import type { EventRun } from '../usage-log/port.ts'

export interface RunLine {
  readonly seq: number
  readonly prevSeq: number
  /** Without the line's end. Bytes that aren't UTF-8 have become U+FFFD. */
  readonly text: string
  readonly event?: UsageEvent & ChainPosition
  /** Why this line can't be counted. */
  readonly problem?: string
}

/** Every line of the run with its place in the chain. The run holds as many lines as it says: see `planBatch`. */
export function readRunLines (run: EventRun): RunLine[] {
  const texts = run.ndjson.toString('utf8').split('\n')
  texts.pop()
  const lines: RunLine[] = []
  let prevSeq = run.prevSeq
  texts.forEach((text, index) => {
    const line = placeLine(run, { text, index, prevSeq })
    lines.push(line)
    prevSeq = line.seq
  })
  return lines
}

/** What is above `afterSeq` of the run, as a run again; undefined when nothing is. */
export function cutRun (run: EventRun, afterSeq: number): EventRun | undefined {
  if (run.lastSeq <= afterSeq) return undefined
  if (run.prevSeq >= afterSeq) return run
  const lines = readRunLines(run)
  const at = lines.findIndex((line) => line.seq > afterSeq)
  const first = lines[at]
  if (first === undefined) return undefined
  return {
    kind: 'events',
    streamId: run.streamId,
    prevSeq: first.prevSeq,
    firstSeq: first.seq,
    lastSeq: run.lastSeq,
    count: lines.length - at,
    ndjson: run.ndjson.subarray(lineStart(run.ndjson, at)),
    ...(run.origin === undefined ? {} : { origin: run.origin })
  }
}

/** What is up to `toSeq` of the run, as a run again; undefined when nothing is. */
export function headOfRun (run: EventRun, toSeq: number): EventRun | undefined {
  if (run.lastSeq <= toSeq) return run
  if (run.prevSeq >= toSeq) return undefined
  const lines = readRunLines(run).filter((line) => line.seq <= toSeq)
  const last = lines.at(-1)
  if (last === undefined) return undefined
  return { ...run, lastSeq: last.seq, count: lines.length, ndjson: run.ndjson.subarray(0, lineStart(run.ndjson, lines.length)) }
}

function lineStart (ndjson: Buffer, index: number): number {
  let start = 0
  for (let i = 0; i < index; i++) start = ndjson.indexOf(0x0a, start) + 1
  return start
}

function placeLine (run: EventRun, { text, index, prevSeq }: { readonly text: string, readonly index: number, readonly prevSeq: number }): RunLine {
  const seq = seqOfLine(run, { text, index, prevSeq })
  const origin = run.origin?.recordOf(seq)
  if (origin?.problem !== undefined) return { seq, prevSeq, text, problem: origin.problem }
  const parsed = parseUsageEvent(text)
  if ('problem' in parsed) return { seq, prevSeq, text, problem: parsed.problem }
  const { event } = parsed
  if (event.streamId !== run.streamId || event.seq !== seq || event.prevSeq !== prevSeq) {
    return { seq, prevSeq, text, problem: `identity: says ${event.streamId} ${event.seq} after ${event.prevSeq}, stands at ${run.streamId} ${seq} after ${prevSeq}` }
  }
  const problem = origin === undefined ? undefined : unbelievableTime(event.requestTimeMs, origin.loggedAtMs)
  return problem === undefined ? { seq, prevSeq, text, event } : { seq, prevSeq, text, problem }
}

/** The oldest and the newest time of a request that a log believes: no gateway is older than this program, none lives a day ahead. */
export const requestTimeMsMin = Date.UTC(2015)
export const requestTimeAheadMsMax = 86_400_000

/** @param loggedAtMs by the log's clock */
function unbelievableTime (requestTimeMs: number, loggedAtMs: number): string | undefined {
  if (requestTimeMs < requestTimeMsMin) return 'requestTime: before 2015'
  return requestTimeMs > loggedAtMs + requestTimeAheadMsMax ? 'requestTime: more than a day ahead of the log\'s clock' : undefined
}

/** A run without holes says it by its place, the end of a run by its head; else the line itself, as far as it is believable. */
function seqOfLine (run: EventRun, { text, index, prevSeq }: { readonly text: string, readonly index: number, readonly prevSeq: number }): number {
  if (index === run.count - 1) return run.lastSeq
  if (index === 0) return run.firstSeq
  if (run.lastSeq - run.firstSeq + 1 === run.count) return run.firstSeq + index
  const said = Number(/"seq":(\d{1,16})[,}]/.exec(text)?.[1])
  const seqMax = run.lastSeq - (run.count - 1 - index)
  return said > prevSeq && said <= seqMax ? said : prevSeq + 1
}
