// docs/backup.md says what each version of the state consists of.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { stateVersion, storeVersions } from '../../../src/platform/state-version.ts'

test('the last row of docs/backup.md is this program\'s state: a changed format is a new version, and a new row', () => {
  const page = readFileSync(path.resolve(import.meta.dirname, '../../../docs/backup.md'), 'utf8')
  const rows = [...page.matchAll(/^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$/gm)].map(([, ...cells]) => cells.map(Number))
  assert.deepEqual(rows.map(([version]) => version), Array.from({ length: stateVersion }, (_, index) => index + 1))
  const { journal, aggregator, ledger, registry } = storeVersions
  assert.deepEqual(rows.at(-1)?.slice(1), [journal, aggregator, ledger, registry])
})
