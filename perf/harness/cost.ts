// What a process has cost: CPU and memory of it, its threads and its children, as the kernel counts them.
import { readFileSync, readdirSync } from 'node:fs'

/** The kernel's clock ticks a second in /proc: 100 on every Linux that Node runs on. */
const ticksPerS = 100

export interface Cost {
  /** User and system time of the process, its threads, living children, and ended ones that were waited for; milliseconds. */
  readonly cpuMs: number
  /** The process's own threads by name; milliseconds of those still alive. */
  readonly cpuMsByThread: ReadonlyMap<string, number>
  /** Resident memory of the process and its living children. Pages they share count in each. */
  readonly rssBytes: number
}

interface Stat { readonly pid: number, readonly parent: number, readonly name: string, readonly cpuMs: number, readonly waitedCpuMs: number, readonly rssBytes: number }

const pageBytes = 4096

/** Fields behind the name, which may hold blanks and brackets itself: see proc_pid_stat(5). */
function readStat (file: string): Stat | undefined {
  let text: string
  // A process may end between the listing and the reading.
  try { text = readFileSync(file, 'latin1') } catch { return undefined }
  const nameEnd = text.lastIndexOf(')')
  const fields = text.slice(nameEnd + 2).split(' ')
  const number = (field: number): number => Number(fields[field - 3])
  return {
    pid: Number(text.slice(0, text.indexOf(' '))),
    parent: number(4),
    name: text.slice(text.indexOf('(') + 1, nameEnd),
    cpuMs: (number(14) + number(15)) * 1000 / ticksPerS,
    waitedCpuMs: (number(16) + number(17)) * 1000 / ticksPerS,
    rssBytes: number(24) * pageBytes
  }
}

function childrenOf (pid: number, all: readonly Stat[]): Stat[] {
  return all.filter((stat) => stat.parent === pid).flatMap((child) => [child, ...childrenOf(child.pid, all)])
}

function statOf (pid: number): Stat {
  const own = readStat(`/proc/${pid}/stat`)
  if (own === undefined) throw new Error(`process ${pid} has ended while it was measured`)
  return own
}

/** The process and its living children. */
function familyOf (pid: number): Stat[] {
  const own = statOf(pid)
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map((name) => readStat(`/proc/${name}/stat`)).filter((stat) => stat !== undefined)
  return [own, ...childrenOf(pid, all)]
}

export function costOf (pid: number): Cost {
  const family = familyOf(pid)
  const cpuMsByThread = new Map<string, number>()
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readStat(`/proc/${pid}/task/${thread}/stat`)
    if (stat !== undefined) cpuMsByThread.set(stat.name, (cpuMsByThread.get(stat.name) ?? 0) + stat.cpuMs)
  }
  return {
    cpuMs: family.reduce((sum, stat) => sum + stat.cpuMs + stat.waitedCpuMs, 0),
    cpuMsByThread,
    rssBytes: family.reduce((sum, stat) => sum + stat.rssBytes, 0)
  }
}

/** User and system time of the process and its threads, milliseconds; children not included. */
export const ownCpuMsOf = (pid: number): number => statOf(pid).cpuMs

export const rssOf = (pid: number): number => costOf(pid).rssBytes

/** CPU between two looks at the same process. */
export function costBetween (before: Cost, after: Cost): { readonly cpuMs: number, readonly cpuMsByThread: Readonly<Record<string, number>> } {
  const threads = [...after.cpuMsByThread].map(([name, cpuMs]) => [name, cpuMs - (before.cpuMsByThread.get(name) ?? 0)] as const)
  return { cpuMs: after.cpuMs - before.cpuMs, cpuMsByThread: Object.fromEntries(threads.filter(([, cpuMs]) => cpuMs > 0)) }
}

function statusBytes (pid: number, field: 'VmHWM' | 'RssAnon'): number {
  const line = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  if (line === null) throw new Error(`/proc/${pid}/status has no ${field}`)
  return Number(line[1]) * 1024
}

/** The largest resident size the process has ever had, as the kernel remembers it; children not included. */
export function rssPeakOf (pid: number): number { return statusBytes(pid, 'VmHWM') }

/** The same of the process and its living children together: each at its largest, which need not have been at one time. */
export function rssPeakOfFamily (pid: number): number {
  // A child may end between the listing and the reading.
  const peakOf = (member: number): number => { try { return rssPeakOf(member) } catch { return 0 } }
  return familyOf(pid).reduce((sum, stat) => sum + peakOf(stat.pid), 0)
}

/** Resident memory that is no file's: the rest are pages of programs and libraries, which the kernel can drop and read again. */
export function rssAnonymousOf (pid: number): number { return statusBytes(pid, 'RssAnon') }
