// Deliberate mistakes in the shipper, each of which its simulation must notice.
import type { Mutant } from '../helpers/source-mutants.ts'

interface ShipperMutant extends Mutant {
  /** Exports `run (seed)`. */
  readonly scenario: './shipper-scenario.ts' | './shipper-copies-scenario.ts' | './shipper-damage-scenario.ts'
}

const mutants: readonly (Mutant & Partial<ShipperMutant>)[] = [
  {
    name: 'the journal is trimmed by what Kafka has acknowledged', file: 'src/shipper/shipping.ts',
    changes: [['this.index.trim((streamId, partition) => this.progress.done(streamId, partition)', 'this.index.trim((streamId, partition) => this.lanes.get(partition)?.acknowledged(streamId) ?? 0']]
  },
  {
    name: 'the journal is trimmed by what is counted, not by what is archived', file: 'src/shipper/progress.ts',
    changes: [['Math.min(this.#applied.get(streamId, partition), this.#archived.get(streamId, partition))', 'this.#applied.get(streamId, partition)']]
  },
  {
    name: 'what stays uncounted is not sent again', file: 'src/shipper/stall-watch.ts',
    changes: [["return isGap || stall.probedTo === wantedAfter ? 'resend' : 'probe'", "return 'none'"]]
  },
  {
    name: 'only reported gaps are sent again', file: 'src/shipper/stall-watch.ts',
    changes: [["return isGap || stall.probedTo === wantedAfter ? 'resend' : 'probe'", "return isGap ? 'resend' : 'none'"]]
  },
  {
    name: 'a probe is all that is sent again', file: 'src/shipper/stall-watch.ts',
    changes: [['if (stall !== undefined) stall.probedTo = seq', 'if (stall !== undefined) stall.probedTo = -seq']]
  },
  {
    name: 'a gap behind what is counted is ignored', file: 'src/shipper/progress.ts',
    changes: [['Math.min(gap - 1, applied)', 'applied']]
  },
  {
    name: 'what was sent is relied on after a failure', file: 'src/shipper/lane.ts',
    changes: [['    this.#movedMs = nowMs\n    this.restart()\n', '    this.#movedMs = nowMs\n    this.#parcels = []\n']]
  },
  {
    name: 'a lane skips what it lacks', file: 'src/shipper/cursor.ts',
    changes: [
      ['    if (!this.#isServed(lane)) return undefined\n', ''],
      ['if (prevSeq <= known || this.#passed.get(streamId, partition) === 0) return lane', 'if (lastSeq > known) return lane']
    ]
  },
  {
    name: 'a lane that begins anew does not go back', file: 'src/shipper/lane.ts',
    changes: [['    this.#sent.clear()\n    this.isBehind = true\n', '    this.#sent.clear()\n']]
  },
  {
    name: 'a lane that was left is never caught up', file: 'src/shipper/shipping.ts',
    changes: [['this.#late ??= this.#beginLate()', 'this.#late ??= undefined']]
  },
  {
    name: 'a lane is caught up from where the journal is now', file: 'src/shipper/shipping.ts',
    changes: [['reader.rewind(segment)', 'reader.rewind(Math.max(segment ?? 0, this.index.newest ?? 0))']]
  },
  {
    name: 'statements that failed are not said again', file: 'src/shipper/shipping.ts',
    changes: [['notSaid (batch: StatementBatch): void { this.statements.failed(batch) }', 'notSaid (batch: StatementBatch): void { this.statements.acknowledged(batch) }']]
  },
  {
    name: 'an older statement replaces a newer one', file: 'src/shipper/statements.ts',
    changes: [['    for (const { mark, hours } of newer.values()) this.take(mark, [...hours.values()])', '    for (const [streamId, unsaid] of newer) if (!streams.has(streamId)) this.#unsaid.set(streamId, unsaid)']]
  },
  {
    name: 'an old stream ends before the new one has begun', file: 'src/shipper/statements.ts',
    changes: [["Number(a.mark.state !== 'open') - Number(b.mark.state !== 'open') || begun(b) - begun(a)", 'begun(a) - begun(b)']]
  },
  {
    name: 'the end of a stream is all that is said of it', file: 'src/shipper/statements.ts',
    changes: [['if (!this.isOwnSaid || unsaid.hours.size > 0) streams.set', 'if (upTo < 0) streams.set']]
  },
  {
    name: 'an older copy of a journal takes back what was said', file: 'src/shipper/statements.ts', scenario: './shipper-copies-scenario.ts',
    changes: [["said === undefined || said <= seq || state === 'open'", "said === undefined || said >= 0 || state === 'open'"]]
  },
  {
    name: 'a void stands in one partition only', file: 'src/shipper/survey.ts', scenario: './shipper-damage-scenario.ts',
    changes: [['Array.from({ length: body.partitions ?? 1 }', 'Array.from({ length: Math.min(body.partitions ?? 1, 1) }']]
  },
  {
    name: 'a void takes its place without looking at what is before it', file: 'src/shipper/survey.ts', scenario: './shipper-damage-scenario.ts',
    changes: [['prevSeq: before === 0 ? undefined : before, seq', 'prevSeq: header.firstSeq - 1, seq']]
  },
  {
    name: 'each partition\'s void names all that was lost', file: 'src/shipper/survey.ts', scenario: './shipper-damage-scenario.ts',
    changes: [['isUncertain ? runs.map(() => hours) : dealOutHours(hours, runs.map(({ count }) => count))', 'runs.map(() => hours)']]
  }
]

export const shipperMutants: readonly ShipperMutant[] = mutants.map((mutant) => ({ scenario: './shipper-scenario.ts', ...mutant }))
