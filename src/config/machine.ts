// What the machine has, for the settings that are worked out from it.
import { existsSync, readdirSync, statfsSync, statSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { journalAutoBytesMax, journalAutoFreeShare, refusedAutoShare, workersAutoMax } from './limits.ts'
import type { Role } from './role.ts'
import type { Config } from './schema.ts'

export interface Machine {
  readonly hostName: string
  readonly cores: number
  /** What this process may use. */
  readonly memoryBytes: number
  /** Free on the disk of the state folder. */
  readonly freeDiskBytes: number
  /** What the journal of this state folder holds already. */
  readonly journalBytes: number
}

/** @param state absolute; it need not exist yet */
export function readMachine (state: string): Machine {
  const { bavail, bsize } = statfsSync(nearestFolder(state))
  const constrained = process.constrainedMemory()
  return {
    hostName: os.hostname(),
    cores: os.availableParallelism(),
    memoryBytes: constrained > 0 ? Math.min(constrained, os.totalmem()) : os.totalmem(),
    freeDiskBytes: bavail * bsize,
    journalBytes: folderBytes(path.join(state, 'journal'))
  }
}

function nearestFolder (folder: string): string { return existsSync(folder) || path.dirname(folder) === folder ? folder : nearestFolder(path.dirname(folder)) }

function folderBytes (folder: string): number {
  if (!existsSync(folder)) return 0
  return readdirSync(folder).reduce((sum, name) => sum + (statSync(path.join(folder, name), { throwIfNoEntry: false })?.blocks ?? 0) * 512, 0)
}

/** A setting that was worked out: `path` as in messages. */
export interface AutoSetting { readonly path: string, readonly value: number | string }

/** `config` with every `auto` replaced. The journal's bound doesn't shrink because the journal itself takes space. */
export function resolveAutos (config: Config, machine: Machine, roles: readonly Role[]): { readonly config: Config, readonly autos: readonly AutoSetting[] } {
  const autos: AutoSetting[] = []
  const auto = <Value extends number | string>(path: string, value: Value, resolve: () => Value): Value => {
    if ((value as unknown) !== 'auto') return value
    const resolved = resolve()
    autos.push({ path, value: resolved })
    return resolved
  }
  const { gateway, journal, aggregator, operator } = config
  const segmentBytes = journal.segmentBytes
  const wholeSegments = (bytes: number): number => Math.floor(bytes / segmentBytes) * segmentBytes
  const bytesMax = auto('journal.bytesMax', journal.bytesMax, () => wholeSegments(Math.min(journalAutoBytesMax, (machine.freeDiskBytes + machine.journalBytes) * journalAutoFreeShare)))
  return {
    config: {
      ...config,
      gatewayId: auto('gatewayId', config.gatewayId, () => machine.hostName),
      aggregator: { ...aggregator, name: auto('aggregator.name', aggregator.name, () => machine.hostName) },
      operator: { ...operator, listen: { ...operator.listen, port: auto('operator.listen.port', operator.listen.port, () => operatorPortOf(roles)) } },
      gateway: { ...gateway, workers: auto('gateway.workers', gateway.workers, () => Math.min(workersAutoMax, Math.max(1, machine.cores - 1))) },
      journal: {
        ...journal,
        bytesMax,
        refusedBytesMax: auto('journal.refusedBytesMax', journal.refusedBytesMax, () => Math.floor(bytesMax * refusedAutoShare))
      }
    },
    autos
  }
}

/** Roles of one machine can run side by side as processes of their own. */
function operatorPortOf (roles: readonly Role[]): number {
  if (roles.length === 0 || roles.includes('gateway')) return 9464
  return roles.includes('aggregator') ? 9465 : 9466
}
