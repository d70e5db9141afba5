// The units as files: systemd understands them, they expose little, and what they have in common is the same in each.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { roles } from '../../src/config/role.ts'

const root = path.resolve(import.meta.dirname, '../..')
const units = globSync('systemd/*.service', { cwd: root }).sort()
const exposureMax = 2
const read = (unit: string): string => readFileSync(path.join(root, unit), 'utf8')

test('there is one a role and one for all, and each runs what it is named for', () => {
  assert.deepEqual(units, ['systemd/tollgate-aggregator.service', 'systemd/tollgate-billing.service', 'systemd/tollgate-gateway.service', 'systemd/tollgate.service'])
  for (const unit of units) {
    const role = roles.find((name) => unit.endsWith(`-${name}.service`)) ?? 'all'
    assert.match(read(unit), new RegExp(`^ExecStartPre=/usr/local/bin/tollgate config check --role ${role}$`, 'm'))
    assert.match(read(unit), new RegExp(`^ExecStart=/usr/local/bin/tollgate run --role ${role}$`, 'm'))
  }
})

test(`systemd rates each at ${exposureMax} or less`, (t) => {
  for (const unit of units) {
    const rating = execFileSync('systemd-analyze', ['security', '--offline=true', '--no-pager', path.join(root, unit)], { encoding: 'utf8' })
    const exposure = Number(/Overall exposure level for .*: ([\d.]+)/.exec(rating)?.[1])
    t.diagnostic(`note: ${path.basename(unit)}: ${exposure}`)
    assert.ok(exposure <= exposureMax, rating)
  }
})

test('systemd finds no mistake in them', (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-units-'))
  t.after(() => { rmSync(folder, { recursive: true }) })
  for (const unit of units) {
    const copy = path.join(folder, path.basename(unit))
    // What they start isn't installed here.
    writeFileSync(copy, read(unit).replaceAll('/usr/local/bin/tollgate', '/bin/true').replace(/^Documentation=.*$/m, ''))
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', copy], { encoding: 'utf8' })
    const ours = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('tollgate'))
    assert.deepEqual([status, ours], [0, []], unit)
  }
})

test('nothing of what holds for all is forgotten in one', () => {
  const own = /^(?:#.*|Description=.*|Exec.*|LoadCredential=.*|Environment=.*SECRET.*|Memory.*|.*Capabilit.*|PrivateUsers=.*)?$/
  const common = units.map((unit) => read(unit).split('\n').filter((line) => !own.test(line)))
  for (const lines of common) assert.deepEqual(lines, common[0])
})
