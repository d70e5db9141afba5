// Where a command reads nothing from and writes to: two streams of text that a test can hold.

export interface Io {
  /** The result: tables or JSON, nothing else. */
  readonly out: (text: string) => void
  /** What went wrong or is worth knowing beside the result. */
  readonly error: (text: string) => void
}
