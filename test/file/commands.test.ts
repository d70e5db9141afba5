// Every command of the one file starts, and what the file needs of its surroundings is said in one sentence when it is missing.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { commands } from '../../src/cli/cli.ts'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { ownTarget, packedFile } from '../helpers/packed-file.ts'
import { writeProgramFiles } from '../helpers/program.ts'
import type { ProgramFiles } from '../helpers/program.ts'

const file = packedFile(ownTarget)

async function makeFiles (t: TestContext): Promise<ProgramFiles> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-file-'))
  const upstream = await openEchoUpstream()
  t.after(() => { upstream.close(); rmSync(folder, { recursive: true, force: true }) })
  return await writeProgramFiles({ folder, upstreamUrl: upstream.url })
}

const run = (argv: readonly string[], env: Readonly<Record<string, string>>): { readonly status: number | null, readonly stdout: string, readonly stderr: string } =>
  spawnSync(file, argv, { encoding: 'utf8', env: { PATH: process.env['PATH'], ...env } })

test('every command explains itself, and needs no native parts for that', (t) => {
  const home = mkdtempSync(path.join(os.tmpdir(), 'tollgate-file-'))
  t.after(() => { rmSync(home, { recursive: true }) })
  for (const { name } of commands) {
    const { status, stdout, stderr } = run([name, '--help'], { HOME: home })
    assert.equal(status, 0, `${name}: ${stderr}`)
    assert.match(stdout, new RegExp(`tollgate ${name}`), name)
  }
  assert.deepEqual(readdirSync(home), [])
})

test('a command that opens files unpacks into the home folder, for the owner alone', async (t) => {
  const files = await makeFiles(t)
  const home = path.join(files.folder, 'home')
  mkdirSync(home)
  const { status, stdout, stderr } = run(['bill', '--member', '1', '--from', '2026-01-01', '--to', '2026-01-02', '--config', files.configFile], { HOME: home })
  assert.equal(status, 0, `${stdout}${stderr}`)
  const kept = readdirSync(path.join(home, '.cache/tollgate'))
  assert.equal(kept.length, 1)
  assert.match(kept[0] ?? '', /^native-[0-9a-f]{16}-\d+$/)
})

test('a read-only or noexec place is refused with the setting\'s name, and nothing goes to the temporary folder', async (t) => {
  const files = await makeFiles(t)
  const temporary = path.join(files.folder, 'temporary')
  mkdirSync(temporary)
  for (const [options, said] of [['ro', /EROFS/], ['noexec', /mounted noexec/]] as const) {
    const place = path.join(files.folder, options)
    mkdirSync(place)
    // A mount of this command's own, which goes with it.
    const script = `mount -t tmpfs -o ${options},size=128m,mode=700 test '${place}' && exec '${file}' run --config '${files.configFile}'`
    const { status, stderr } = spawnSync('unshare', [process.getuid?.() === 0 ? '-m' : '-rm', 'sh', '-c', script], { encoding: 'utf8', env: { PATH: process.env['PATH'], TOLLGATE_NATIVE_FOLDER: place, TMPDIR: temporary, HOME: files.folder } })
    assert.equal(status, 1, stderr)
    assert.match(stderr, said)
    assert.match(stderr, /NATIVE_FOLDER_UNUSABLE: .*\nset TOLLGATE_NATIVE_FOLDER/)
  }
  assert.deepEqual(readdirSync(temporary), [])
})
