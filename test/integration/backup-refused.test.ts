// What `tollgate backup` and `tollgate restore` refuse: before anything is changed, with a code and a way out.
import assert from 'node:assert/strict'
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { lockState } from '../../src/platform/state-lock.ts'
import { openState, restoringFolder, stateVersion, storeVersions } from '../../src/platform/state-version.ts'
import { makeCliFolder } from '../helpers/cli.ts'
import type { CliFolder } from '../helpers/cli.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

/** A backup of a small state, and an empty one to bring it back to. */
async function makeBackup (t: TestContext): Promise<{ readonly old: CliFolder, readonly backup: string, readonly fresh: CliFolder }> {
  const old = makeCliFolder(t)
  await old.json('member', 'create', '--name', 'Ada')
  await old.json('key', 'create', '--member', '1', '--grade', 'GRADE_FREE')
  await old.json('key', 'revoke', '1')
  const backup = path.join(temporaryFolder(t, 'backup'), 'one')
  await old.json('backup', backup)
  return { old, backup, fresh: makeCliFolder(t) }
}

const entries = (folder: string): string[] => existsSync(folder) ? readdirSync(folder).filter((name) => !name.startsWith('lock')).sort() : []
const manifestOf = (backup: string): string => path.join(backup, 'manifest.ndjson')

/** Changes the header and makes the manifest whole again, as the program that wrote it would have. */
function rewriteManifest (backup: string, change: (header: Record<string, unknown>) => void): void {
  const lines = readFileSync(manifestOf(backup), 'utf8').trimEnd().split('\n')
  const header = JSON.parse(lines[0] ?? '') as Record<string, unknown>
  change(header)
  const text = [JSON.stringify(header), ...lines.slice(1, -1)].map((line) => `${line}\n`).join('')
  const end = JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>
  writeFileSync(manifestOf(backup), `${text}${JSON.stringify({ ...end, sha256: createHash('sha256').update(text).digest('hex') })}\n`)
}

test('a small state comes back whole; a second restore into it is refused', async (t) => {
  const { backup, fresh } = await makeBackup(t)
  const done = await fresh.run('restore', backup)
  assert.equal(done.code, 0, done.error)
  assert.deepEqual(entries(fresh.state), ['audit.ndjson', 'gateway', 'restores.ndjson', 'version.json'])
  assert.equal((await fresh.json<{ state: string }>('key', 'show', '1')).state, 'revoked')
  // Numbers that were given away since the backup may stand in somebody's token.
  assert.deepEqual(await fresh.json<{ memberId: number }>('member', 'create', '--name', 'Bela').then(({ memberId }) => memberId), 100_002)
  assert.deepEqual(await fresh.json<{ apiKeyId: number }>('key', 'create', '--member', '1', '--grade', 'GRADE_FREE').then(({ apiKeyId }) => apiKeyId), 100_002)
  const again = await fresh.run('restore', backup)
  assert.match(again.error, /^STATE_NOT_EMPTY: \S+ is not empty: audit\.ndjson, gateway, restores\.ndjson, version\.json\nname a new folder/)
})

const damages: readonly (readonly [string, RegExp, (backup: string) => void])[] = [
  ['a changed byte', /^BACKUP_DAMAGED: \S+registry\.sqlite is not what was backed up/, (backup) => {
    const file = path.join(backup, 'state/gateway/registry.sqlite')
    const bytes = readFileSync(file)
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
    writeFileSync(file, bytes)
  }],
  ['a file that is shorter', /^BACKUP_DAMAGED: \S+audit\.ndjson is not what was backed up/, (backup) => { truncateSync(path.join(backup, 'state/audit.ndjson'), statSync(path.join(backup, 'state/audit.ndjson')).size - 1) }],
  ['a file that is longer', /^BACKUP_DAMAGED: \S+audit\.ndjson is not what was backed up/, (backup) => { writeFileSync(path.join(backup, 'state/audit.ndjson'), '\n', { flag: 'a' }) }],
  ['a missing file', /^BACKUP_DAMAGED: \S+revocations\.ndjson is missing/, (backup) => { rmSync(path.join(backup, 'state/gateway/revocations.ndjson')) }],
  ['no manifest: one that was not finished', /^BACKUP_DAMAGED: \S+manifest\.ndjson is missing/, (backup) => { rmSync(manifestOf(backup)) }],
  ['a manifest that was cut', /^BACKUP_DAMAGED: \S+manifest\.ndjson is damaged/, (backup) => { truncateSync(manifestOf(backup), 600) }],
  ['a manifest without one of its lines', /^BACKUP_DAMAGED: \S+manifest\.ndjson is damaged/, (backup) => { writeFileSync(manifestOf(backup), readFileSync(manifestOf(backup), 'utf8').split('\n').filter((line) => !line.includes('revocations')).join('\n')) }],
  ['a manifest that names another place', /^BACKUP_DAMAGED: \S+manifest\.ndjson names "\.\.\/out"/, (backup) => {
    const lines = readFileSync(manifestOf(backup), 'utf8').replace('"path":"audit.ndjson"', '"path":"../out"')
    writeFileSync(manifestOf(backup), lines)
    rewriteManifest(backup, () => {})
  }],
  ['a newer state', /^BACKUP_NEWER: \S+: Tollgate 7\.0\.0 has made this backup of a state of version \d+; this program knows up to \d+\nrestore it with the program that made it/, (backup) => { rewriteManifest(backup, (header) => { Object.assign(header, { stateVersion: stateVersion + 1, program: '7.0.0' }) }) }],
  ['a newer store', /^BACKUP_NEWER: .* with aggregator version 99; this program knows up to/, (backup) => { rewriteManifest(backup, (header) => { header['stores'] = { ...storeVersions, aggregator: 99 } }) }],
  ['a newer kind of backup', /^BACKUP_NEWER: \S+ has version 2, this program knows 1/, (backup) => { rewriteManifest(backup, (header) => { header['version'] = 2 }) }],
  ['a backup of roles of a cluster', /^ARGUMENT_INVALID: this backup is of roles of a cluster, and the configuration is of one machine/, (backup) => { rewriteManifest(backup, (header) => { header['parts'] = [{ folder: 'role-gateway', isRunning: true }] }) }]
]

test('a damaged, unfinished, newer or foreign backup puts nothing in place', async (t) => {
  const { backup, fresh } = await makeBackup(t)
  for (const [name, expected, damage] of damages) {
    const copy = path.join(temporaryFolder(t, 'backup'), 'copy')
    cpSync(backup, copy, { recursive: true })
    damage(copy)
    const refused = await fresh.run('restore', copy)
    assert.equal(refused.code, 1, name)
    assert.match(refused.error, expected, name)
    assert.deepEqual(entries(fresh.state), [], name)
  }
  // The state was not spoiled by all that.
  assert.equal((await fresh.run('restore', backup)).code, 0)
})

test('a state in use, and one in which something is, is refused', async (t) => {
  const { backup, fresh } = await makeBackup(t)
  const lock = lockState(fresh.state)
  try {
    assert.match((await fresh.run('restore', backup)).error, /^STATE_LOCKED: the state folder \S+ is in use by process \d+/)
  } finally { lock.release() }
  assert.deepEqual(entries(fresh.state), [])
  mkdirSync(path.join(fresh.state, 'journal'))
  assert.match((await fresh.run('restore', backup)).error, /^STATE_NOT_EMPTY: \S+ is not empty: journal/)
  assert.deepEqual(entries(fresh.state), ['journal'])
})

test('a restore that was cut off leaves no state: programs refuse it, and a restore begins anew', async (t) => {
  const { backup, fresh } = await makeBackup(t)
  assert.equal((await fresh.run('restore', backup)).code, 0)
  // As a power cut between two renames leaves it.
  mkdirSync(restoringFolder(fresh.state))
  copyFileSync(path.join(fresh.state, 'version.json'), path.join(restoringFolder(fresh.state), 'version.json'))
  rmSync(path.join(fresh.state, 'version.json'))
  writeFileSync(path.join(fresh.state, 'gateway', 'half'), '')
  assert.throws(() => openState(fresh.state), { code: 'RESTORE_UNFINISHED' })
  assert.match((await fresh.run('key', 'list')).error, /^RESTORE_UNFINISHED: .*\nrun `tollgate restore` again/)
  assert.equal((await fresh.run('restore', backup)).code, 0)
  assert.deepEqual([entries(fresh.state), existsSync(path.join(fresh.state, 'gateway', 'half'))], [['audit.ndjson', 'gateway', 'restores.ndjson', 'version.json'], false])
})

test('a backup replaces nothing, goes nowhere into the state, and needs one', async (t) => {
  const { old, backup } = await makeBackup(t)
  assert.match((await old.run('backup', backup)).error, /^ARGUMENT_INVALID: \S+ is there already and isn't an empty folder/)
  assert.match((await old.run('backup', path.join(old.state, 'inside'))).error, /^ARGUMENT_INVALID: \S+ lies within the state folder/)
  const none = makeCliFolder(t)
  const target = path.join(temporaryFolder(t, 'backup'), 'none')
  assert.match((await none.run('backup', target)).error, /^STATE_UNWRITABLE: there is no state in/)
  assert.equal((await old.run('backup')).code, 2)
  const lock = lockState(none.state)
  t.after(() => { lock.release() })
  assert.deepEqual(entries(target), [])
})
