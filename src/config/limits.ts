// Bounds that nobody needs to choose, each in one place. What can be chosen stands in schema.ts; how the two must fit
// together is checked in relations.ts.
const kibibyte = 1024

/** Files that are read whole at the start. */
export const configFileBytesMax = 1024 * kibibyte
export const priceBookFileBytesMax = 16 * 1024 * kibibyte
export const secretFileBytesMax = 4 * kibibyte

/** Problems told at once; a broken file can have more than anyone reads. */
export const problemsMax = 100

/** Aliases of one configuration file that are followed: a few lines of YAML could otherwise become gigabytes. */
export const yamlAliasesMax = 100

/** The journal's `auto`: at most so much, and at most this part of what is free. */
export const journalAutoBytesMax = 20_000_000_000
export const journalAutoFreeShare = 0.5
export const refusedAutoShare = 0.1
export const workersAutoMax = 64

/** One segment is being written, one is being recycled, and one may be left over at its end. */
export const journalSegmentsMin = 3
/** Segments must fit every disk's blocks. */
export const segmentUnitBytes = 4 * kibibyte
/** What the journal takes for one event alone, on the largest blocks: kept free for each request in flight. */
export const eventFrameBytesMax = 4 * kibibyte
/** A frame's header says of each partition what it holds of it. */
export const framePartitionBytes = 24

/** An event as it usually is, with its share of the frame: for estimates told to people, never for a decision. */
export const eventBytesTypical = 600

/** The part of the machine's memory that the configured bounds may add up to before a warning. */
export const memoryShareMax = 0.75
