// The running program's part of a backup: what belongs to the moment of the copy, and what is left on its disk.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { ListedFile } from '../../../src/aggregator/backup.ts'
import { listName, stagingFolder } from '../../../src/cli/backup-files.ts'
import type { ControlHandlers } from '../../../src/cli/control-server.ts'
import { backupHandlers } from '../../../src/cli/handlers/backup.ts'
import type { StoreCopy } from '../../../src/cli/handlers/backup.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

function open (t: TestContext, copy: (state: string) => Promise<StoreCopy>): { readonly state: string, readonly write: (name: string, text?: string) => void, readonly ask: (command: string) => Promise<unknown>, readonly listed: () => ListedFile[] } {
  const state = temporaryFolder(t, 'state')
  const handlers: ControlHandlers = backupHandlers({ state, copies: [async () => await copy(state)] })
  return {
    state,
    write: (name, text = 'x') => {
      mkdirSync(path.join(state, path.dirname(name)), { recursive: true })
      writeFileSync(path.join(state, name), text)
    },
    ask: async (command) => await handlers[command]?.({}),
    listed: () => readFileSync(path.join(stagingFolder(state), listName), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as ListedFile)
  }
}

test('what is archived after the copy of the database is no part of it; what only grows is, as far as it was', async (t) => {
  const older = 'archive/date=2026-01-15/hour=12/one.parquet'
  const newer = 'archive/date=2026-01-15/hour=12/two.parquet'
  const { state, write, ask, listed } = open(t, async () => {
    write(newer)
    return { gatewayId: 'gateway-1', files: [{ path: older, bytes: 1 }], within: ['archive', 'aggregator'] }
  })
  write(older)
  write('audit-20260115T120000000Z.ndjson', 'line\n')
  write('audit.ndjson', 'line\n')
  assert.deepEqual(await ask('backup.make'), { folder: stagingFolder(state), gatewayId: 'gateway-1' })
  assert.deepEqual(listed(), [{ path: older, bytes: 1 }, { path: 'audit-20260115T120000000Z.ndjson', bytes: 5 }])
  assert.equal(readFileSync(path.join(stagingFolder(state), 'audit.ndjson'), 'utf8'), 'line\n')
  await ask('backup.drop')
  assert.ok(!existsSync(stagingFolder(state)))
})

test('a revocation that comes while the stores are copied is in the backup', async (t) => {
  const { state, write, ask } = open(t, async () => {
    write('gateway/revocations.ndjson', 'one\ntwo\n')
    return {}
  })
  write('gateway/revocations.ndjson', 'one\n')
  await ask('backup.make')
  assert.equal(readFileSync(path.join(stagingFolder(state), 'gateway/revocations.ndjson'), 'utf8'), 'one\ntwo\n')
})

test('one at a time; a copy that fails leaves nothing, and the next one works', async (t) => {
  const gate = Promise.withResolvers<StoreCopy>()
  let copy = async (): Promise<StoreCopy> => await gate.promise
  const { state, ask } = open(t, async () => await copy())
  const first = ask('backup.make')
  await assert.rejects(ask('backup.make'), { code: 'BACKUP_RUNNING' })
  gate.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' }))
  await assert.rejects(first, { code: 'STATE_NO_ROOM' })
  assert.ok(!existsSync(stagingFolder(state)))
  copy = async () => ({})
  await ask('backup.make')
  assert.ok(existsSync(stagingFolder(state)))
  // A program that starts clears what one before it has left.
  backupHandlers({ state, copies: [] })
  assert.ok(!existsSync(stagingFolder(state)))
})
