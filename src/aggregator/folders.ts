// Where the aggregator's stores are, within a state folder.
import path from 'node:path'

export interface AggregatorFolders {
  /** All of these are below it. */
  readonly stateFolder: string
  /** `aggregator.duckdb`: counts, positions, the archive's manifest. */
  readonly databaseFile: string
  /** Snapshots of closed segments. */
  readonly segments: string
  /** Lines that could not be counted, with their reasons. */
  readonly deadLetters: string
  /** What operators have acknowledged. */
  readonly acknowledgementsFile: string
  /** The block that DuckDB reads next; of no worth to anybody else. */
  readonly blockFile: string
  /** `date=…/hour=…/*.parquet`, and `flush/*.json` beside them. */
  readonly archive: string
  readonly flushes: string
  /** When and from what this state was restored; see restored.ts. */
  readonly restoresFile: string
}

export function aggregatorFolders (stateFolder: string): AggregatorFolders {
  const own = path.join(stateFolder, 'aggregator')
  const archive = path.join(stateFolder, 'archive')
  return {
    stateFolder,
    databaseFile: path.join(own, 'aggregator.duckdb'),
    segments: path.join(own, 'segments'),
    deadLetters: path.join(own, 'dead-letter'),
    acknowledgementsFile: path.join(own, 'acknowledgements.ndjson'),
    blockFile: path.join(own, 'block.ndjson'),
    archive,
    flushes: path.join(archive, 'flush'),
    restoresFile: path.join(stateFolder, 'restores.ndjson')
  }
}
