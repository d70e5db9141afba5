// `tollgate backup`: everything that a state can't be made again from, as of one moment, with a hash of every file. The running
// program makes copies of what it has open; without one the files are at rest, and are held so.
import { existsSync, globSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import type { ListedFile } from '../aggregator/backup.ts'
import type { Config } from '../config/schema.ts'
import { roleStates } from '../config/role.ts'
import { TollgateError } from '../domain/errors.ts'
import { formatTimeMs } from '../domain/window.ts'
import { systemClock } from '../platform/clock.ts'
import { stateFiles } from '../platform/state-files.ts'
import { stateVersion, storeVersions } from '../platform/state-version.ts'
import { buildFacts, version } from '../platform/version.ts'
import { configOption, jsonOption } from './arguments.ts'
import { filesIn, listName, madeAgain } from './backup-files.ts'
import { backupStateFolder, backupVersion, writeManifest } from './backup-manifest.ts'
import type { BackupManifest, BackupPart } from './backup-manifest.ts'
import { commandOf, configOf, exitCodes, printJson } from './command.ts'
import type { CommandContext } from './command.ts'
import { askProgram } from './control-client.ts'
import { copyFiles, mebibytes } from './copy-files.ts'
import type { CopiedFile, FileToCopy } from './copy-files.ts'
import type { StateFacts } from './handlers/backup.ts'
import { programOrLock } from './program.ts'

export const backupCommand = commandOf({
  name: 'tollgate backup',
  summary: 'Copies the state to a folder, as of one moment, while the program runs or without one; `tollgate restore` brings it back.',
  positionals: [{ name: 'DIR', description: 'A folder that isn\'t there yet, or is empty; not within the state.' }],
  options: { json: jsonOption, config: configOption },
  details: `The configuration, its secrets and the price book are not in it. The ledger isn't either: it is made again.
Exit code 0: made. 1: failed, or made of a state of which something is missing or damaged: that is told, and is in the backup as it is.`
}, async (given, context) => {
  const config = configOf(given, context)
  const folder = path.resolve(given.positionals[0] ?? '')
  checkTarget(folder, config.state)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const manifest = await backUp(config, folder, context)
  const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0)
  if (given.has('json')) printJson(context, { ...manifest, files: manifest.files.length, bytes, folder, madeAgain })
  else context.io.out(`${manifest.files.length} files, ${mebibytes(bytes)}, in ${folder}\n`)
  for (const problem of manifest.problems) context.io.error(`the state itself is not whole: ${problem}\n`)
  return manifest.problems.length === 0 ? exitCodes.ok : exitCodes.failed
})

function checkTarget (folder: string, state: string): void {
  const within = path.relative(path.resolve(state), folder)
  if (within === '' || (!within.startsWith('..') && !path.isAbsolute(within))) throw new TollgateError('ARGUMENT_INVALID', `${folder} lies within the state folder ${state}`)
  if (existsSync(folder) && (!statSync(folder).isDirectory() || readdirSync(folder).length > 0)) throw new TollgateError('ARGUMENT_INVALID', `${folder} is there already and isn't an empty folder: a backup never replaces another one`)
}

async function backUp (config: Config, folder: string, context: CommandContext): Promise<BackupManifest> {
  const parts: BackupPart[] = []
  const copied: CopiedFile[] = []
  const madeAt = formatTimeMs(systemClock.nowMs())
  try {
    for (const state of stateFolders(config)) {
      const name = path.relative(config.state, state)
      const source = await openSource(state, config)
      try {
        context.io.error(`${state}: ${source.files.length} files to copy, ${source.part.isRunning ? 'of the running program' : 'no program runs'}\n`)
        const placed = source.files.map((file) => ({ ...file, path: path.join(name, file.path) }))
        copied.push(...await copyFiles(placed, backupStateFolder(folder), { io: context.io, what: 'copied' }))
        parts.push({ ...source.part, folder: name === '' ? '.' : name })
      } finally { await source.close() }
    }
    if (parts.length === 0) throw new TollgateError('STATE_UNWRITABLE', `there is no state in ${config.state}`)
    const { commit } = buildFacts()
    const manifest: BackupManifest = {
      tollgate: 'backup', version: backupVersion, madeAt, program: version, ...(commit === undefined ? {} : { commit }), stateVersion, stores: storeVersions, parts,
      files: copied.flatMap((file) => file.copied === undefined ? [] : [{ path: file.path, ...file.copied }]),
      problems: copied.flatMap(problemsOf)
    }
    writeManifest(folder, manifest)
    return manifest
  } catch (error) {
    rmSync(backupStateFolder(folder), { recursive: true, force: true })
    throw error
  }
}

/** On one machine the state itself; in a cluster that of each role that has run here. */
function stateFolders (config: Config): string[] {
  if (config.kafka !== undefined) return roleStates(config.state).filter((folder) => existsSync(path.join(folder, 'lock')))
  return existsSync(config.state) ? [config.state] : []
}

interface Source {
  readonly part: Omit<BackupPart, 'folder'>
  readonly files: readonly FileToCopy[]
  readonly close: () => Promise<void>
}

async function openSource (state: string, { gatewayId }: Config): Promise<Source> {
  const { controlSocket } = stateFiles(state)
  const found = await programOrLock<StateFacts & { readonly folder: string }>(state, 'backup.make', {})
  if (found.kind === 'lock') {
    const files = filesIn(state, { changing: true, finished: true, open: true }).map((name) => ({ path: name, source: path.join(state, name) }))
    return { part: { isRunning: false, gatewayId }, files, close: async () => { found.lock.release() } }
  }
  const { folder: staging, ...facts } = found.result
  const staged = globSync('**/*', { cwd: staging }).filter((name) => name !== listName && statSync(path.join(staging, name)).isFile()).sort()
  const listed = readFileSync(path.join(staging, listName), 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as ListedFile)
  return {
    part: { isRunning: true, ...facts },
    files: [...staged.map((name) => ({ path: name, source: path.join(staging, name) })), ...listed.map((file) => ({ ...file, source: path.join(state, file.path) }))],
    close: async () => { await askProgram(controlSocket, 'backup.drop', {}).catch(() => undefined) }
  }
}

/** What the state's own records say of a file, and its content doesn't. */
function problemsOf ({ path: name, bytes, sha256, copied }: CopiedFile): string[] {
  if (copied === undefined) return [`${name} is missing`]
  if (bytes !== undefined && copied.bytes !== bytes) return [`${name} has ${copied.bytes} bytes instead of ${bytes}`]
  return sha256 !== undefined && copied.sha256 !== sha256 ? [`the content of ${name} has changed`] : []
}
