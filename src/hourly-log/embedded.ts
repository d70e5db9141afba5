// The hourly log of one machine: questions over a message port between the aggregator's thread and billing's. The ledger
// pulls, so nothing piles up between them; that something has changed is said once until it has asked again.
import type { MessagePort } from 'node:worker_threads'
import { openRpc } from '../platform/thread-rpc.ts'
import type { HourlyBatch, HourlyLogReader, HourlyPosition } from './port.ts'

/** The aggregator's side of it: what comes after a position. */
export interface HourlySource {
  readonly next: (partition: number, position: HourlyPosition | undefined) => Promise<HourlyBatch | undefined>
}

interface NextRequest { readonly partition: number, readonly position: HourlyPosition | undefined }

export interface HourlyLogServer {
  /** Something newer may be there. */
  readonly notify: () => void
  readonly close: () => void
}

export function serveHourlyLog (port: MessagePort, source: HourlySource): HourlyLogServer {
  let isTold = false
  const rpc = openRpc(port, {
    next: ({ partition, position }: NextRequest) => {
      // From here on a change may be missed by this answer, so the next one is told.
      isTold = false
      return source.next(partition, position)
    }
  })
  return {
    notify: () => {
      if (isTold) return
      isTold = true
      rpc.tell('changed')
    },
    close: () => { port.close() }
  }
}

export interface HourlyLogConnection extends HourlyLogReader {
  readonly close: () => void
}

/** The ledger's side. */
export function connectHourlyLog (port: MessagePort): HourlyLogConnection {
  const callbacks: (() => void)[] = []
  const rpc = openRpc(port, {}, { changed: () => { for (const callback of callbacks) callback() } })
  port.on('close', () => { rpc.fail(new Error('the aggregator\'s end of the hourly log is closed')) })
  return {
    next: (partition, position) => rpc.ask('next', { partition, position } satisfies NextRequest),
    onChange: (callback) => { callbacks.push(callback) },
    close: () => { port.close() }
  }
}
