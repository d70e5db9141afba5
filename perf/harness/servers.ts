// Servers of the benchmark in processes of their own, so that each one's CPU is its own.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import process from 'node:process'
import { eventually } from '../../test/helpers/eventually.ts'

export interface Server { readonly pid: number, readonly stop: () => Promise<void> }

/** SIGTERM, and SIGKILL when that isn't enough within `withinMs`. */
export async function stopProcess (child: ChildProcess, withinMs = 20_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((resolve) => { child.once('exit', () => { resolve() }) })
  child.kill('SIGTERM')
  const timer = setTimeout(() => { child.kill('SIGKILL') }, withinMs)
  await ended
  clearTimeout(timer)
}

const logShown = 2_000

/** Waits until someone accepts connections on `port`. @returns the process's id. @throws with the end of its log when it has ended instead */
export async function awaitListening (name: string, child: ChildProcess, port: number, logFile: string, withinMs = 20_000): Promise<number> {
  const ended = new Promise<never>((_resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => { reject(new Error(`${name} ended with ${signal ?? code ?? '?'} before it listened:\n${existsSync(logFile) ? readFileSync(logFile, 'utf8').slice(-logShown) : ''}`)) })
  })
  // It may end in its own time later.
  ended.catch(() => undefined)
  await Promise.race([ended, eventually(`${name} accepts connections`, () => canConnect(port), { withinMs })])
  if (child.pid === undefined) throw new Error(`${name} could not be started`)
  return child.pid
}

function canConnect (port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => { socket.destroy(); resolve(true) })
    socket.once('error', () => { resolve(false) })
  })
}

export interface NodeServer extends Server {
  readonly port: number
  /** What it printed up to `listening`. */
  readonly said: string
}

/** Starts a Node program of this folder that prints `listening PORT` once it can be used. */
export function startNodeServer (file: string, argv: readonly string[]): Promise<NodeServer> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file, ...argv], { stdio: ['ignore', 'pipe', 'inherit'] })
  return new Promise((resolve, reject) => {
    let text = ''
    child.once('error', reject)
    child.once('exit', (code, signal) => { reject(new Error(`${path.basename(file)} ended with ${signal ?? code ?? '?'} before it listened`)) })
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const port = Number(/^listening (\d+)$/m.exec(text)?.[1] ?? NaN)
      if (Number.isInteger(port) && child.pid !== undefined) resolve({ port, pid: child.pid, said: text, stop: () => stopProcess(child) })
    })
  })
}

/** Runs a Node program of this folder to its end. @throws unless it ends with 0 */
export function runToEnd (file: string, argv: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file, ...argv], { stdio: ['ignore', 'ignore', 'inherit'] })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      if (code === 0) resolve()
      else reject(new Error(`${path.basename(file)} ended with ${signal ?? code ?? '?'}`))
    })
  })
}
