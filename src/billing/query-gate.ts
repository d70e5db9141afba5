// How many questions the ledger is asked at a time: a few, with a short queue behind them and a clear refusal beyond it, so
// that a flood of questions neither fills the memory nor delays the ledger's own work without end.
import { TollgateError } from '../domain/errors.ts'
import { Turns } from '../platform/turns.ts'

export interface QueryGate {
  /** @throws TollgateError M0009 when the queue is full */
  readonly pass: <Result>(query: () => Promise<Result>) => Promise<Result>
  readonly waiting: () => number
}

export function openQueryGate ({ runningMax, waitingMax }: { readonly runningMax: number, readonly waitingMax: number }): QueryGate {
  const turns = new Turns(runningMax)
  return {
    waiting: () => turns.waiting,
    pass: async (query) => {
      if (turns.isFull && turns.waiting >= waitingMax) throw new TollgateError('M0009', 'too many questions at a time, try again')
      const end = await turns.take()
      try {
        return await query()
      } finally {
        end()
      }
    }
  }
}
