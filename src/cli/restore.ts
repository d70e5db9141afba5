// `tollgate restore`: a backup becomes a state. Every file is compared with its hash before any has its place, and as long as
// not all of them have, no program takes the folder for a state. Whoever opens it goes on as after a crash at the moment of the
// backup: the gateway begins a stream of its own, so nothing of what it counts can be taken for something of before.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { aggregatorFolders } from '../aggregator/folders.ts'
import { noteRestore } from '../aggregator/restored.ts'
import type { Config } from '../config/schema.ts'
import { TollgateError } from '../domain/errors.ts'
import { parseTimeMs } from '../domain/window.ts'
import { systemClock } from '../platform/clock.ts'
import { syncFolder } from '../platform/durable-file.ts'
import { stateFiles } from '../platform/state-files.ts'
import { lockNames, lockState } from '../platform/state-lock.ts'
import type { StateLock } from '../platform/state-lock.ts'
import { restoringFolder } from '../platform/state-version.ts'
import { passOverNumbers } from '../registry/refusal-log.ts'
import { configOption, jsonOption } from './arguments.ts'
import { backupStateFolder, readManifest } from './backup-manifest.ts'
import type { BackupManifest, BackupPart } from './backup-manifest.ts'
import { commandOf, configOf, exitCodes, printJson } from './command.ts'
import type { CommandContext } from './command.ts'
import { copyFiles, mebibytes } from './copy-files.ts'

export const restoreCommand = commandOf({
  name: 'tollgate restore',
  summary: 'Brings a backup back, into a state folder in which nothing is. All of it is checked before any of it is put in place.',
  positionals: [{ name: 'DIR', description: 'What `tollgate backup` has made.' }],
  options: { json: jsonOption, config: configOption },
  details: `What was answered after the backup was made is not in it: \`tollgate verify\` says so until it is acknowledged.
The program whose state it was must not run any more: two that go on from one backup each write a bill of their own.`
}, async (given, context) => {
  const config = configOf(given, context)
  const folder = path.resolve(given.positionals[0] ?? '')
  const manifest = readManifest(folder)
  await restore(config, { folder, manifest }, context)
  const { files, madeAt, program, parts } = manifest
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  if (given.has('json')) printJson(context, { folder, state: config.state, files: files.length, bytes, madeAt, program, parts, problems: manifest.problems })
  else context.io.out(`${files.length} files, ${mebibytes(bytes)}, of ${madeAt}, in ${config.state}\n`)
  return exitCodes.ok
})

interface Backup { readonly folder: string, readonly manifest: BackupManifest, readonly redis: Config['redis'] }

/** All parts are whole on the disk before the first of them has its place. */
async function restore ({ state, kafka, redis }: Config, { folder, manifest }: Omit<Backup, 'redis'>, context: CommandContext): Promise<void> {
  const isOfRoles = manifest.parts.some((part) => part.folder !== '.')
  if (isOfRoles !== (kafka !== undefined)) throw new TollgateError('ARGUMENT_INVALID', `this backup is of ${isOfRoles ? 'roles of a cluster' : 'one machine'}, and the configuration is of ${isOfRoles ? 'one machine' : 'a cluster'}`)
  const targets: Target[] = []
  try {
    try {
      for (const part of manifest.parts) targets.push(openTarget(path.join(state, part.folder), part))
      for (const target of targets) await bring(target, { folder, manifest, redis }, context)
    } catch (error) {
      for (const target of targets) rmSync(restoringFolder(target.state), { recursive: true, force: true })
      throw error
    }
    for (const target of targets) putInPlace(target)
  } finally {
    for (const { lock } of targets) lock.release()
  }
}

interface Target {
  readonly state: string
  readonly part: BackupPart
  readonly lock: StateLock
}

/** A state folder in which nothing is, or what a restore has left that was cut off: no program could use that. */
function openTarget (state: string, part: BackupPart): Target {
  const lock = lockState(state)
  try {
    const restoring = restoringFolder(state)
    if (existsSync(restoring)) for (const name of entriesOf(state)) rmSync(path.join(state, name), { recursive: true })
    const found = entriesOf(state)
    if (found.length > 0) throw new TollgateError('STATE_NOT_EMPTY', `${state} is not empty: ${found.slice(0, 5).join(', ')}${found.length > 5 ? ` and ${found.length - 5} more` : ''}`)
    mkdirSync(restoring, { mode: 0o700 })
    syncFolder(state)
    return { state, part, lock }
  } catch (error) {
    lock.release()
    throw error
  }
}

/** @throws TollgateError BACKUP_DAMAGED */
async function bring ({ state, part }: Target, { folder, manifest, redis }: Backup, { io }: CommandContext): Promise<void> {
  const restoring = restoringFolder(state)
  const prefix = part.folder === '.' ? '' : `${part.folder}/`
  const own = manifest.files.filter(({ path: name }) => name.startsWith(prefix))
  const copied = await copyFiles(own.map(({ path: name }) => ({ path: name.slice(prefix.length), source: path.join(backupStateFolder(folder), name) })), restoring, { io, what: 'checked and copied' })
  const wrong = copied.flatMap(({ source, copied: found }, index) => {
    if (found === undefined) return [`${source} is missing`]
    return found.bytes !== own[index]?.bytes || found.sha256 !== own[index]?.sha256 ? [`${source} is not what was backed up`] : []
  })
  if (wrong.length > 0) throw new TollgateError('BACKUP_DAMAGED', `${wrong.slice(0, 5).join('; ')}${wrong.length > 5 ? `; and ${wrong.length - 5} more` : ''}`)
  // In Redis the numbers are its own.
  const { refusals } = stateFiles(restoring)
  if (redis === undefined && existsSync(refusals)) passOverNumbers(refusals)
  // Where requests are both answered and counted. In a cluster the topics know what a restored store lacks.
  if (part.folder === '.') noteRestore(aggregatorFolders(restoring).restoresFile, { gatewayId: part.gatewayId ?? '(unknown)', backupAtMs: parseTimeMs(manifest.madeAt) ?? 0, restoredAtMs: systemClock.nowMs() })
}

/** The folder it was brought to goes last: until then no program opens the state, and a restore begins anew. */
function putInPlace ({ state }: Target): void {
  const restoring = restoringFolder(state)
  for (const name of readdirSync(restoring).sort()) renameSync(path.join(restoring, name), path.join(state, name))
  syncFolder(state)
  rmSync(restoring, { recursive: true })
  syncFolder(state)
}

/** What is in a state folder but for its lock. */
function entriesOf (state: string): string[] { return readdirSync(state).filter((name) => !lockNames.includes(name)).sort() }
