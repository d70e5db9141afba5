// A state that was restored from a backup knows nothing of what was answered after the backup was made: neither its journal
// nor its archive has a trace of it. So the restore itself is written down, and `verify` shows it until somebody has accepted it.
import { existsSync, readFileSync } from 'node:fs'
import { formatTimeMs, hourOf } from '../domain/window.ts'
import { appendLinesDurable } from '../platform/durable-file.ts'
import type { VerifyProblem } from './verify.ts'

export interface Restore {
  readonly gatewayId: string
  readonly backupAtMs: number
  readonly restoredAtMs: number
}

export function noteRestore (file: string, restore: Restore): void { appendLinesDurable(file, [JSON.stringify(restore)]) }

/** One for each restore, at the hour in which its backup was made. */
export function restoreProblems (file: string): VerifyProblem[] {
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8').split('\n').filter((line) => line !== '').map((line) => {
    const { gatewayId, backupAtMs, restoredAtMs } = JSON.parse(line) as Restore
    return { gatewayId, hour: hourOf(backupAtMs), problem: `restored at ${formatTimeMs(restoredAtMs)} from a backup made at ${formatTimeMs(backupAtMs)}: what was answered between is in no store here` }
  })
}
