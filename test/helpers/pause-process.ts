// SIGSTOP that has taken effect when it returns.
import { readFileSync, readdirSync } from 'node:fs'
import process from 'node:process'

const pollMs = 1
const withinMs = 5_000
const nobody = new Int32Array(new SharedArrayBuffer(4))

/** One of its threads has to take the signal before any stops: on a busy machine the others would go on, and answer, for some milliseconds. */
export function pauseProcess (pid: number): void {
  process.kill(pid, 'SIGSTOP')
  for (let waitedMs = 0; !isStopped(pid); waitedMs += pollMs) {
    if (waitedMs > withinMs) throw new Error(`process ${pid} does not stop`)
    Atomics.wait(nobody, 0, 0, pollMs)
  }
}

function isStopped (pid: number): boolean {
  try {
    // Stopped, or ended.
    return readdirSync(`/proc/${pid}/task`).every((thread) => /^[TZX]/.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').split(') ').at(-1) ?? ''))
  } catch {
    // A thread has ended while it was looked for.
    return false
  }
}
