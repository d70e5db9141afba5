// What must be on disk before the next step is synced before the next step: seen in the system calls of the real
// program. (A kill doesn't test this: the page cache survives it.)
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { eventually } from '../helpers/eventually.ts'
import { runCommand, runJson, startProgram, writeProgramFiles } from '../helpers/program.ts'

interface Call { readonly name: string, readonly text: string }

/** The traced calls in order, an interrupted one put together at the place where it returned. */
function readTrace (file: string): Call[] {
  const open = new Map<string, string>()
  const calls: Call[] = []
  for (const line of readFileSync(file, 'latin1').split('\n')) {
    const match = /^(\d+) +(.*)$/.exec(line)
    if (match === null) continue
    const [, thread = '', content = ''] = match
    if (content.endsWith('<unfinished ...>')) { open.set(thread, content.slice(0, -'<unfinished ...>'.length)); continue }
    const resumed = /^<\.\.\. (\w+) resumed>(.*)$/.exec(content)
    const text = resumed === null ? content : `${open.get(thread) ?? `${resumed[1]}(`}${resumed[2]}`
    const name = /^(\w+)\(/.exec(text)?.[1]
    if (name !== undefined) calls.push({ name, text })
  }
  return calls
}

test('journal, DuckDB, Parquet, rename and folder are synced, in that order', async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-fsync-'))
  const upstream = await openEchoUpstream()
  t.after(upstream.close)
  const files = await writeProgramFiles({ folder, upstreamUrl: upstream.url, extra: 'archive: { flushIntervalMs: 500 }\n' })
  const program = await startProgram(files)
  t.after(() => program.kill())
  const trace = path.join(folder, 'trace')
  const strace = spawn('strace', ['-f', '-y', '-qq', '-s', '0', '-o', trace, '-e', 'trace=openat,pwrite64,pwritev,fsync,fdatasync,rename,renameat,renameat2', '-p', String(program.process.pid)], { stdio: ['ignore', 'ignore', 'pipe'] })
  const traced = new Promise((resolve) => { strace.once('exit', resolve) })
  t.after(() => strace.kill('SIGKILL'))
  const { memberId } = await runJson<{ memberId: number }>(files, ['member', 'create', '--name', 'sync'])
  const { token } = await runJson<{ token: string }>(files, ['key', 'create', '--member', String(memberId), '--grade', 'GRADE_FREE'])
  await eventually('the trace sees commits and an archive file', async () => {
    const response = await fetch(`http://127.0.0.1:${files.ports.gateway}/api/things/s200`, { headers: { 'x-api-key': token } })
    await response.arrayBuffer()
    return response.status === 200 && readFileSync(trace, 'latin1').includes('.parquet"')
  }, { everyMs: 200 })
  const verify = await runCommand(files, ['verify', '--wait', '30'])
  assert.equal(verify.code, 0, verify.stdout + verify.stderr)
  strace.kill('SIGINT')
  await traced
  const calls = readTrace(trace)

  const journalWrites = calls.filter((call) => call.name.startsWith('pwrite') && call.text.includes('.segment>'))
  assert.ok(journalWrites.length > 0, 'journal frames are written')
  const journalFlags = await openFlagsOf(program.process.pid ?? 0, '.segment')
  assert.ok(journalFlags.length > 0, 'the journal keeps a segment open')
  assert.ok(journalFlags.every((flags) => (flags & 0o10000) !== 0), 'every segment that is written is open with O_DSYNC')

  assert.ok(calls.some((call) => /^f(?:data)?sync/.test(call.name) && call.text.includes('aggregator.duckdb')), 'the aggregator\'s database is synced')
  assert.ok(calls.some((call) => /^f(?:data)?sync/.test(call.name) && call.text.includes('registry.sqlite')), 'the registry is synced')
  const renameAt = calls.findIndex((call) => call.name.startsWith('rename') && call.text.includes('.parquet"'))
  assert.ok(renameAt > 0, 'an archive file is renamed into place')
  const [from, to] = [...(calls[renameAt]?.text ?? '').matchAll(/"([^"]+)"/g)].map((match) => match[1] ?? '')
  const isSyncOf = (call: Call, file: string): boolean => call.name === 'fsync' && call.text.includes(`<${file}>`)
  assert.ok(calls.slice(0, renameAt).some((call) => isSyncOf(call, from ?? '')), 'the Parquet file is synced before it gets its name')
  const folderSyncAt = calls.findIndex((call, index) => index > renameAt && isSyncOf(call, path.dirname(to ?? '')))
  assert.ok(folderSyncAt > renameAt, 'the folder is synced after the rename')
  const commitAt = calls.findIndex((call, index) => index > folderSyncAt && /^f(?:data)?sync/.test(call.name) && call.text.includes('aggregator.duckdb'))
  assert.ok(commitAt > folderSyncAt, 'the manifest is committed only after file and folder are durable')
  await program.stop()
  rmSync(folder, { recursive: true })
})

/** The open(2) flags of the process's descriptors on writable files whose name ends so. */
async function openFlagsOf (pid: number, suffix: string): Promise<number[]> {
  const { readdirSync, readlinkSync } = await import('node:fs')
  const found: number[] = []
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    let target = ''
    try { target = readlinkSync(`/proc/${pid}/fd/${fd}`) } catch { continue }
    if (!target.endsWith(suffix)) continue
    const flags = parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'))?.[1] ?? '0', 8)
    if ((flags & 0o3) !== 0) found.push(flags)
  }
  return found
}
