// The suites that drive the real program drive the one file too: from sign-up to the bill, README's quick start, kills.
import assert from 'node:assert/strict'
import process from 'node:process'
import { test } from 'node:test'
import { runCommand } from '../helpers/program.ts'
import { ownTarget, packedFile } from '../helpers/packed-file.ts'

process.env['PACKED_PROGRAM'] = packedFile(ownTarget)

test('what the suites start is the one file', async () => {
  const { stdout } = await runCommand({ folder: process.cwd(), configFile: '' }, ['version', '--json'], { withConfig: false })
  assert.equal((JSON.parse(stdout) as { readonly isPackaged: boolean }).isPackaged, true)
})

await import('../e2e/admin.test.ts')
await import('../e2e/readme.test.ts')
await import('../crash/embedded.test.ts')
