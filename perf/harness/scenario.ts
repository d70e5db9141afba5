// What a scenario is given and what it gives back.

/** A name for a column and, per row, its text: numbers are formatted by whoever measured them. */
export interface Table {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** Sentences under the table. */
  readonly notes: readonly string[]
}

export interface ScenarioResult {
  /** How it was measured, one sentence or setting each; for the page. */
  readonly settings: readonly string[]
  readonly tables: readonly Table[]
  /** Files that set the rivals up, word for word. */
  readonly files: readonly { readonly name: string, readonly text: string }[]
  /** Every single measurement, for --json. */
  readonly samples: readonly unknown[]
}

export interface BenchContext {
  /** A smoke: everything runs and must be right, the figures mean little. */
  readonly isQuick: boolean
  readonly rounds: number
  /** Length of the `memory` scenario under load. */
  readonly memoryS: number
  /** Length of the long run of `rates` and `cluster-rate`; undefined: their own. */
  readonly rateS: number | undefined
  /** As `--events` and `--rows` say, for scenarios whose size can be chosen; undefined: their own. */
  readonly events: number | undefined
  readonly rows: number | undefined
  /** An empty folder on the disk of the checkout, removed afterwards. */
  readonly folder: string
  /** Progress, to stderr. */
  readonly say: (line: string) => void
  /** Runs at the end of the scenario, last registered first, also after an error or a signal. */
  readonly onEnd: (close: () => Promise<void> | void) => void
  /** Runs when all scenarios are through, after the last one's `onEnd`. */
  readonly onFinish: (close: () => Promise<void> | void) => void
}

export interface Scenario {
  readonly name: string
  /** Needs Kafka and more time: it runs when it is named, or the group `cluster`. */
  readonly isCluster?: boolean
  /** Needs what most machines lack: it runs when it is named itself. */
  readonly isNamedOnly?: boolean
  readonly title: string
  readonly run: (context: BenchContext) => Promise<ScenarioResult>
}
