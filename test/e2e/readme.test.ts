// README's own code blocks, run as a newcomer would run them: in an empty folder, against a new upstream. The bill must
// be what README says it is. PACKED_PROGRAM names the one file, where that is what `tollgate` is to be.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { freePorts } from '../helpers/free-ports.ts'

const root = path.resolve(import.meta.dirname, '../..')

/** The shell blocks of the section, joined in order. */
function shellBlocksOf (section: string): string[] {
  const text = readFileSync(path.join(root, 'README.md'), 'utf8').split(`## ${section}\n`)[1]?.split('\n## ')[0] ?? ''
  return [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')
}

function runShell (script: string, folder: string): Promise<{ readonly code: number, readonly stdout: string, readonly stderr: string }> {
  // Its own process group, so that what README starts in the background ends with the test whatever happens.
  const packed = process.env['PACKED_PROGRAM']
  const commands = packed === undefined ? path.join(root, 'bin') : path.join(folder, 'bin')
  if (packed !== undefined) {
    mkdirSync(commands)
    symlinkSync(packed, path.join(commands, 'tollgate'))
  }
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], { cwd: folder, detached: true, env: { ...process.env, PATH: `${commands}:${process.env['PATH'] ?? ''}` } })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => { stdout += chunk.toString() })
  child.stderr.on('data', (chunk: Buffer) => { stderr += chunk.toString() })
  return new Promise((resolve) => {
    child.once('exit', (code) => {
      try { process.kill(-(child.pid ?? 0), 'SIGKILL') } catch { /* nothing of the group is left */ }
      resolve({ code: code ?? -1, stdout, stderr })
    })
  })
}

test('the quick start of README works word for word and bills what it says', async (t) => {
  const blocks = shellBlocksOf('Quick start')
  assert.ok(blocks.length >= 4, `README has ${blocks.length} shell blocks in its quick start`)
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-readme-'))
  const ports = await freePorts(5)
  // Only the ports differ from what is printed, because the machine that runs this may use the default ones.
  const wellKnown = ['9000', '8080', '8081', '8082', '9464']
  // The first block gets and sets up the checkout, which this test stands in.
  const script = wellKnown.reduce((text, port, index) => text.replaceAll(`:${port}`, `:${ports[index] ?? ''}`).replaceAll(`port: ${port}`, `port: ${ports[index] ?? ''}`).replaceAll(`(${port}`, `(${ports[index] ?? ''}`), blocks.slice(1).join('\n'))
  const result = await runShell(script, folder)
  t.diagnostic(`note: ${blocks.length} blocks of README ran`)
  assert.equal(result.code, 0, `${result.stdout}\n${result.stderr}`)
  assert.match(result.stdout, /HTTP\/1\.1 200/)
  assert.match(result.stdout, /hello from the API/)
  assert.match(result.stdout, /X-RateLimit-Remaining/i)
  const billed = /^total +(\d+) +\d+ +\d+ +(\d+)/m.exec(result.stdout)
  assert.ok(billed !== null, `the bill's total was not printed: ${result.stdout}`)
  assert.deepEqual([billed[1], billed[2]], ['3', '9'], 'three requests at 3 won')
  rmSync(folder, { recursive: true })
})
