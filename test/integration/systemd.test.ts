// What systemd hears from the real program: ready, alive, stopping. A receiver stands in for systemd's socket, strace for
// whatever makes a thread stick. The same under a real systemd: test/file/systemd-machine.test.ts.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { eventually } from '../helpers/eventually.ts'
import { startProgram, writeProgramFiles } from '../helpers/program.ts'
import type { Program, ProgramFiles } from '../helpers/program.ts'

const watchdogMs = 900
/** Of every Debian; unlike socat it doesn't keep the descriptors by whose end systemd-notify knows that it was heard. */
const receiving = 'socket(S, PF_UNIX, SOCK_DGRAM, 0); bind(S, pack_sockaddr_un($ARGV[0])) or die; $| = 1; while (defined recv(S, $text, 4096, 0)) { print "$text\n" }'

interface Watched { readonly files: ProgramFiles, readonly program: Program, readonly heard: () => string, readonly beats: () => number }

async function startWatched (t: TestContext): Promise<Watched> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-service-'))
  const upstream = await openEchoUpstream()
  const socket = path.join(folder, 'notify')
  const receiver = spawn('perl', ['-MSocket', '-e', receiving, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
  let heard = ''
  receiver.stdout.on('data', (chunk: Buffer) => { heard += chunk.toString() })
  const files = await writeProgramFiles({ folder, upstreamUrl: upstream.url })
  await eventually('the receiver listens', () => Promise.resolve(readdirSync(folder).includes('notify')))
  const program = await startProgram(files, { env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: String(watchdogMs * 1_000) } })
  t.after(async () => {
    await program.kill()
    receiver.kill()
    upstream.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return { files, program, heard: () => heard, beats: () => heard.split('WATCHDOG=1').length - 1 }
}

/** The kernel's number of the program's thread. */
function threadId (pid: number, name: string): string {
  const id = readdirSync(`/proc/${pid}/task`).find((task) => readFileSync(`/proc/${pid}/task/${task}/comm`, 'utf8').includes(name))
  assert.ok(id !== undefined, `there is no thread ${name}: ${readdirSync(`/proc/${pid}/task`).map((task) => readFileSync(`/proc/${pid}/task/${task}/comm`, 'utf8').trim()).join(', ')}`)
  return id
}

test('ready, then beats, then a stop that is announced', async (t) => {
  const { program, heard, beats } = await startWatched(t)
  await eventually('READY and three beats', () => Promise.resolve(beats() >= 3))
  assert.match(heard(), /^READY=1$/m)
  assert.match(heard(), /STATUS=serves/)
  assert.doesNotMatch(heard(), /STOPPING/)
  assert.equal(await program.stop(), 0)
  await eventually('STOPPING', () => Promise.resolve(/STOPPING=1[^]*STATUS=finishes what is under way/.test(heard())))
})

test('a journal\'s thread that is stuck silences the watchdog, while all others go on', async (t) => {
  const { files, program, beats } = await startWatched(t)
  await eventually('a beat', () => Promise.resolve(beats() >= 1))
  const pid = program.process.pid ?? 0
  // Each wait of that thread, and of it alone, takes ten minutes.
  const stick = spawn('strace', ['-qq', '-o', '/dev/null', '-p', threadId(pid, 'journal'), '-e', 'inject=futex:delay_enter=600000000'], { stdio: ['ignore', 'ignore', 'inherit'] })
  try {
    const warnings = (): number => readFileSync(files.logFile, 'utf8').split('"parts":["journal"],"message":"parts of the program don\'t get on').length - 1
    await eventually('the program says which part it misses', () => Promise.resolve(warnings() >= 1))
    const before = beats()
    await eventually('it goes on saying so', () => Promise.resolve(warnings() >= 5))
    assert.equal(beats(), before, 'no beat since the journal is stuck')
    const response = await fetch(`http://127.0.0.1:${files.ports.operator}/healthz`)
    assert.equal(response.status, 200, 'the main thread is alive and well')
  } finally {
    // First, because what it has stopped can't be killed either.
    stick.kill('SIGKILL')
  }
})
