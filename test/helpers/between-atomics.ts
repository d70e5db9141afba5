// Lets another thread's whole step happen between any two atomic accesses of a piece of real code, in one thread: the
// accesses are counted, and the n-th time the n-th of them is preceded by the other step.

const watched = ['load', 'store', 'add', 'exchange', 'compareExchange', 'notify', 'wait'] as const
type Watched = Record<typeof watched[number], (...parts: never[]) => unknown>

export interface Scenario {
  readonly action: () => void
  readonly other: () => void
  readonly check: () => void
  /** Called where `action` would really sleep; it does not. */
  readonly onSleep?: () => void
}

/**
 * Calls `scenario` once for each place in its `action` where `other` may come in, and once with `other` after it.
 * @returns how many orders were tried
 */
export function tryEveryOrder (scenario: () => Scenario): number {
  const atomics = Atomics as unknown as Watched
  const real = Object.fromEntries(watched.map((name) => [name, atomics[name]])) as Watched
  for (let order = 1; ; order++) {
    const { action, other, check, onSleep } = scenario()
    let accesses = 0
    let isIn = false
    const interrupt = (): void => {
      if (isIn || ++accesses !== order) return
      isIn = true
      Object.assign(atomics, real)
      other()
      Object.assign(atomics, hooked)
    }
    const hooked = Object.fromEntries(watched.map((name) => [name, (...parts: never[]) => { interrupt(); return real[name](...parts) }])) as Watched
    if (onSleep !== undefined) {
      Object.assign(hooked, {
        wait: (words: Int32Array, index: number, value: number): string => {
          interrupt()
          if (words[index] !== value) return 'not-equal'
          onSleep()
          return 'timed-out'
        }
      })
    }
    Object.assign(atomics, hooked)
    try { action() } finally { Object.assign(atomics, real) }
    const wasLast = !isIn
    if (wasLast) other()
    check()
    if (wasLast) return order
  }
}
