// Named places at which a test lets the process die as a power cut would, so that recovery is proven at each of them.
// In production no point is armed and a call is one comparison.

export const crashPointNames = [
  'journal.before-write', 'journal.after-write', 'journal.after-publish', 'journal.before-roll', 'journal.after-roll',
  'journal.before-mark', 'journal.after-mark', 'journal.before-recycle', 'journal.after-recycle-rename',
  'gateway.before-release', 'gateway.after-release',
  'aggregator.before-commit', 'aggregator.after-commit',
  'archive.after-write', 'archive.after-rename', 'archive.after-commit',
  'segment.after-snapshot', 'segment.after-commit',
  'ledger.before-commit', 'ledger.after-commit'
] as const
export type CrashPointName = typeof crashPointNames[number]

/** `name` dies at its `hit`-th passing, counted in each thread from 1. */
export interface CrashPointSpec { readonly name: CrashPointName, readonly hit: number }

let armed: CrashPointSpec | undefined
let passed = 0

export function armCrashPoint (spec: CrashPointSpec | undefined): void {
  armed = spec
  passed = 0
}

export function crashPoint (name: CrashPointName): void {
  if (armed === undefined || armed.name !== name) return
  passed++
  // SIGKILL cannot be caught, so nothing that would tidy up at exit can hide a missing recovery step.
  if (passed === armed.hit) process.kill(process.pid, 'SIGKILL')
}
