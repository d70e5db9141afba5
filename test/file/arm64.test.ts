// The arm64 file on a Debian for arm64, under qemu-user with the processors of a Pi 4 and a Pi 5: its commands, and a request
// through the gateway to the bill.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { arm64Program } from '../helpers/arm64-system.ts'
import type { Arm64Options } from '../helpers/arm64-system.ts'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { packedFile } from '../helpers/packed-file.ts'
import { runCommand, runJson, startProgram, writeProgramFiles } from '../helpers/program.ts'
import type { ProgramFiles } from '../helpers/program.ts'

const isLong = process.env['TOLLGATE_LONG'] === 'arm64'
const pi4: Arm64Options = { release: 'trixie', cpu: 'cortex-a72', pageBytes: 4_096 }
const pi5: Arm64Options = { release: 'bookworm', cpu: 'cortex-a76', pageBytes: 16_384 }
const machines = isLong ? [pi4, pi5, { ...pi4, release: 'bookworm' } as const, { ...pi4, pageBytes: 65_536 }] : [pi4]
const requests = 5

for (const machine of machines) {
  test(`${machine.cpu}, Debian ${machine.release}, pages of ${machine.pageBytes} bytes: from a key to the bill`, async (t) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-arm64-'))
    const upstream = await openEchoUpstream()
    const packed = process.env['PACKED_PROGRAM']
    process.env['PACKED_PROGRAM'] = arm64Program(folder, packedFile('linux-arm64'), machine)
    t.after(() => {
      upstream.close()
      rmSync(folder, { recursive: true, force: true })
      if (packed === undefined) delete process.env['PACKED_PROGRAM']
      else process.env['PACKED_PROGRAM'] = packed
    })
    const files = await writeProgramFiles({ folder, upstreamUrl: upstream.url, extra: 'archive: { flushIntervalMs: 1000 }' })
    const said = await runCommand(files, ['version', '--json'], { withConfig: false })
    assert.equal((JSON.parse(said.stdout) as { readonly target: string }).target, 'linux-arm64', said.stderr)
    const check = await runCommand(files, ['config', 'check'])
    assert.equal(check.code, 0, check.stderr)
    const program = await startProgram(files, { readyWithinMs: 300_000 })
    t.after(program.kill)
    const { memberId } = await runJson<{ readonly memberId: number }>(files, ['member', 'create', '--name', 'Ada'])
    const { token } = await runJson<{ readonly token: string }>(files, ['key', 'create', '--member', String(memberId), '--grade', 'GRADE_FREE'])
    for (let i = 0; i < requests; i++) {
      const response = await fetch(`http://127.0.0.1:${files.ports.gateway}/api/things/s200`, { headers: { 'x-api-key': token } })
      assert.equal(response.status, 200, await response.text())
    }
    const proof = await runCommand(files, ['verify', '--wait', '120'])
    assert.equal(proof.code, 0, `${proof.stdout}${proof.stderr}`)
    const day = new Date().toISOString().slice(0, 10)
    const bill = await runJson<{ readonly total: { readonly count: number, readonly costMicros: string } }>(files, ['bill', '--member', String(memberId), '--from', day, '--to', day])
    assert.equal(bill.total.count, requests, JSON.stringify(bill))
    assert.equal(bill.total.costMicros, '15000000', 'five requests at 3 won')
    if (isLong) await tryCommands(files, folder)
    assert.equal(await program.stop(), 0)
    if (isLong) {
      const elsewhere = await writeProgramFiles({ folder: path.join(folder, 'elsewhere'), upstreamUrl: upstream.url })
      const restored = await runCommand(elsewhere, ['restore', path.join(folder, 'backup')])
      assert.equal(restored.code, 0, `${restored.stdout}${restored.stderr}`)
    }
  })
}

/** Every command; those that ask Kafka or a cluster's servers, which aren't here, say what they are for. */
async function tryCommands (files: ProgramFiles, folder: string): Promise<void> {
  const exported = path.join(folder, 'registry.ndjson')
  const commands: readonly (readonly string[])[] = [
    ['member', 'list'], ['member', 'token', '1'], ['key', 'list'], ['key', 'show', '1'], ['key', 'rotate', '1'], ['key', 'revoke', '1'], ['registry', 'export', exported], ['registry', 'import', exported],
    ['config', 'print'], ['reload'], ['rebuild'], ['backup', path.join(folder, 'backup')]
  ]
  for (const argv of commands) {
    const { code, stdout, stderr } = await runCommand(files, argv)
    assert.equal(code, 0, `${argv.join(' ')}: ${stdout}${stderr}`)
  }
  for (const argv of [['config', 'schema'], ['topics', '--help'], ['gateway', '--help'], ['recover', '--help'], ['restore', '--help'], ['--help']]) {
    const { code, stderr } = await runCommand(files, argv, { withConfig: false })
    assert.equal(code, 0, `${argv.join(' ')}: ${stderr}`)
  }
}
