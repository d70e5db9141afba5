// Preloaded into every thread of a program under test: moves its clock by as many milliseconds as a file says, which it reads
// again and again. Monotonic time is left alone, as when a clock is set.
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import process from 'node:process'

const variable = 'TOLLGATE_TEST_CLOCK_FILE'
const lookMs = 50

/** What a program needs in its environment, so that `setClockShift` moves its clock. */
export function shiftedClockEnvironment (file: string): Record<string, string> {
  setClockShift(file, 0)
  return { [variable]: file, NODE_OPTIONS: `--import ${import.meta.url}` }
}

export function setClockShift (file: string, shiftMs: number): void {
  writeFileSync(`${file}.new`, String(shiftMs))
  renameSync(`${file}.new`, file)
}

export function clockShiftMs (file: string): number { return Number(readFileSync(file, 'utf8')) }

const file = process.env[variable]
if (file !== undefined) {
  let shiftMs = clockShiftMs(file)
  const now = Date.now
  Date.now = () => now() + shiftMs
  setInterval(() => { shiftMs = clockShiftMs(file) }, lookMs).unref()
}
