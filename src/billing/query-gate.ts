// How many questions the ledger is asked at a time: a few, with a short queue behind them and a clear refusal beyond it, so
// that a flood of questions neither fills the memory nor delays the ledger's own work without end.
import { TollgateError } from '../domain/errors.ts'

export interface QueryGate {
  /** @throws TollgateError M0009 when the queue is full */
  readonly pass: <Result>(query: () => Promise<Result>) => Promise<Result>
  readonly waiting: () => number
}

export function openQueryGate ({ runningMax, waitingMax }: { readonly runningMax: number, readonly waitingMax: number }): QueryGate {
  let running = 0
  const queue: (() => void)[] = []
  return {
    waiting: () => queue.length,
    pass: async (query) => {
      if (running >= runningMax) {
        if (queue.length >= waitingMax) throw new TollgateError('M0009', 'too many questions at a time, try again')
        // The place is handed over, so `running` already counts whoever is woken.
        await new Promise<void>((resolve) => { queue.push(resolve) })
      } else running++
      try {
        return await query()
      } finally {
        const next = queue.shift()
        if (next === undefined) running--
        else next()
      }
    }
  }
}
