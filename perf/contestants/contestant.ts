// Something that stands before the upstream and can be asked for its answer.
import type { Target } from '../load/saturate.ts'

export interface Contestant extends Target {
  readonly name: string
  /** The process whose CPU and memory count, with its children. */
  readonly pid: number
  /**
   * Called after each load with the answers that clients received whole and the requests that were cut, all still within the
   * measured time. Throws when the contestant's own books say something else.
   */
  readonly settle: (seen: Seen) => Promise<void>
}

export interface Seen {
  readonly complete: number
  /** Sent, but the load ended before the whole answer came: billed at most once each. */
  readonly cutMax: number
}
