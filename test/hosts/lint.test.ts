// The playbooks by the linter's strictest profile, and read by both versions of Ansible that they must work with.
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { test } from 'node:test'
import { ansible, ansibleFolder } from '../services/ansible/run.ts'

test('ansible-lint has nothing to say, in its profile for production', { timeout: 300_000 }, async () => {
  const { code, output } = await ansible('ansible-lint', ['--profile', 'production', '--offline', '--format', 'pep8', '--nocolor'], { isCurrent: true })
  assert.equal(code, 0, output)
  assert.match(output, /Passed: 0 failure\(s\), 0 warning\(s\) in \d{2,} files/)
})

for (const isCurrent of [false, true]) {
  test(`${isCurrent ? 'the current' : 'Debian 12\'s'} Ansible reads every playbook`, async () => {
    const playbooks = ['site.yml', ...globSync('playbooks/*.yml', { cwd: ansibleFolder })]
    assert.ok(playbooks.length >= 6)
    const { code, output } = await ansible('ansible-playbook', ['-i', 'inventory/example/hosts.yml', '--syntax-check', ...playbooks], { isCurrent })
    assert.equal(code, 0, output)
  })
}
