// The one home of the current time and of timers. Everything else takes a Clock, so that tests can move time and a
// simulation can run a year in a second.

/** Where a thread takes its time from; it crosses threads inside workerData. */
export type ClockSpec =
  | { readonly kind: 'system' }
  /** Milliseconds since the epoch in element 0, moved by whoever owns the memory. Monotonic time follows it too. */
  | { readonly kind: 'shared', readonly memory: SharedArrayBuffer }

export interface Clock {
  /** Milliseconds since the Unix epoch, an integer. May step backwards: see `W` in the journal. */
  nowMs: () => number
  /** Milliseconds from an arbitrary start, never falling, with fractions. */
  monotonicMs: () => number
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now()
}

/** Nanoseconds of a clock that never falls and is one for all threads: `monotonicMs` starts anew in each of them. */
export function monotonicNs (): bigint { return process.hrtime.bigint() }

export function clockFrom (spec: ClockSpec): Clock {
  if (spec.kind === 'system') return systemClock
  const cell = new BigInt64Array(spec.memory)
  const nowMs = (): number => Number(Atomics.load(cell, 0))
  // Latency is still measured on the real machine: a frozen clock would make every interval zero.
  return { nowMs, monotonicMs: systemClock.monotonicMs }
}

/** Resolves after `delayMs` of real time; rejects with the signal's reason when aborted. */
export function sleepMs (delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) { reject(signal.reason as Error); return }
    const onAbort = (): void => { clearTimeout(timer); reject(signal?.reason as Error) }
    const timer = setTimeout(() => { signal?.removeEventListener('abort', onAbort); resolve() }, delayMs)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

export interface Timer { readonly cancel: () => void }

/** Calls `action` after `delayMs`. An unreferenced timer doesn't keep the process alive. */
export function after (delayMs: number, action: () => void, options: { readonly isReferenced?: boolean } = {}): Timer {
  const timer = setTimeout(action, delayMs)
  if (options.isReferenced === false) timer.unref()
  return { cancel: () => { clearTimeout(timer) } }
}

/** Calls `action` each `periodMs`, never keeping the process alive by itself. */
export function every (periodMs: number, action: () => void): Timer {
  const timer = setInterval(action, periodMs)
  timer.unref()
  return { cancel: () => { clearInterval(timer) } }
}
