// What systemd is told: that the program is ready, that it stops, how it is, and that it gets on. Node has no datagram
// sockets, which is what systemd listens on: a shell beside the program hands each line on by systemd-notify. It is
// started once and small, so that nothing has to copy this process's page tables for a message.
//
// The watchdog hears nothing unless every thread has answered since the last time: one that is stuck, the journal's above
// all, is enough for systemd to start the program again.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { every } from './clock.ts'
import type { Timer } from './clock.ts'
import type { Logger } from './logger.ts'
import type { OperatorSource } from './operator-http.ts'
import type { Health } from './thread.ts'

/** What systemd has put into the environment. */
export interface ServiceEnvironment {
  readonly notifySocket: string
  /** Silence of this length is taken for a stuck program. */
  readonly watchdogMs: number | undefined
  /** Where `sh` and `systemd-notify` are. */
  readonly path: string
}

export interface ServiceManager {
  /** The program serves; from now on the watchdog is fed. */
  readonly ready: (sources: () => readonly OperatorSource[]) => void
  readonly stopping: () => void
  readonly close: () => void
}

/** Two beats may be lost. */
const beatsPerSilence = 3
const statusCharactersMax = 200
/** A message that systemd hasn't taken note of in five seconds arrives nevertheless: no reason to give up. */
const helper = 'command -v systemd-notify >/dev/null || exit 127; while IFS= read -r line; do systemd-notify "$line"; done; exit 0'

export function openServiceManager ({ notifySocket, watchdogMs, path }: ServiceEnvironment, log: Logger): ServiceManager {
  const shell = spawn('sh', ['-c', helper], { stdio: ['pipe', 'ignore', 'ignore'], env: { NOTIFY_SOCKET: notifySocket, PATH: path } })
  shell.on('error', (error) => { log.error({ error }, 'systemd can\'t be told anything: sh could not be started') })
  shell.on('exit', (code) => { if (code !== 0) log.error({ code }, 'systemd can\'t be told anything: systemd-notify is missing, or the shell that starts it was killed') })
  const stdin = unreferenced(shell)
  const tell = (line: string): void => { stdin.write(`${line.replaceAll('\n', ' ')}\n`) }
  let beats: Timer | undefined
  return {
    ready: (sources) => {
      tell('READY=1')
      tell('STATUS=serves')
      if (watchdogMs !== undefined) beats = every(watchdogMs / beatsPerSilence, beatOf(sources, tell, log))
    },
    stopping: () => {
      // Threads that have stopped don't answer; systemd watches over a stop by its own time limit.
      beats?.cancel()
      tell('STOPPING=1')
      tell('STATUS=finishes what is under way')
    },
    close: () => { stdin.end() }
  }
}

/** Neither the shell nor its pipe keeps the program alive. A pipe that is gone was logged as the shell's end. */
function unreferenced (shell: ChildProcess): NonNullable<ChildProcess['stdin']> {
  const { stdin } = shell
  if (stdin === null) throw new Error('the shell was started with a pipe')
  shell.unref()
  ;(stdin as unknown as { readonly unref: () => void }).unref()
  stdin.on('error', () => {})
  return stdin
}

/** Asks all; tells the watchdog when all have answered, whatever they say: a full disk isn't mended by a restart. */
export function beatOf (sources: () => readonly OperatorSource[], tell: (line: string) => void, log: Pick<Logger, 'warn'>): () => void {
  const awaited = new Set<string>()
  let status = 'serves'
  const warn = (parts: readonly string[]): void => { log.warn({ parts }, 'parts of the program don\'t get on: systemd starts it again when that lasts') }
  const conclude = (healths: ReadonlyMap<string, Health>): void => {
    const stuck = [...healths].filter(([, health]) => health.isStuck === true).map(([name]) => name)
    if (stuck.length > 0) warn(stuck)
    else tell('WATCHDOG=1')
    const reasons = [...healths.values()].flatMap((health) => health.reasons)
    const now = reasons.length === 0 ? 'serves' : reasons.join('; ').slice(0, statusCharactersMax)
    if (now !== status) tell(`STATUS=${now}`)
    status = now
  }
  return () => {
    if (awaited.size > 0) {
      warn([...awaited])
      return
    }
    const healths = new Map<string, Health>()
    for (const { name, health } of sources()) {
      awaited.add(name)
      health().then((found) => {
        healths.set(name, found)
        awaited.delete(name)
        if (awaited.size === 0) conclude(healths)
      }, (error: unknown) => { log.warn({ error, part: name }, 'a part of the program could not say how it is') })
    }
  }
}
