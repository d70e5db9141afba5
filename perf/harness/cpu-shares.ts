// Who has the machine's processors: of each process that is known, of everything else, and what nobody had. What is left of the
// machine says whether it is the limit.
import { readFileSync } from 'node:fs'
import { costBetween, costOf, ownCpuMsOf } from './cost.ts'
import type { Cost } from './cost.ts'
import type { Table } from './scenario.ts'

export interface WatchedProcess {
  readonly name: string
  readonly pid: number
  /** A row for each of its threads too. */
  readonly isByThread?: boolean
  /** Without its children: they have rows of their own, or are something else. */
  readonly isAlone?: boolean
}

export interface Share { readonly name: string, readonly cores: number }

interface Machine { readonly busyMs: number, readonly idleMs: number, readonly stolenMs: number }

const msPerTick = 10
/** Less than this is in no row of a thread. */
const threadCoresMin = 0.005

/** The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; see proc_stat(5). */
export function machineOf (text: string): Machine {
  const [user = 0, nice = 0, system = 0, idle = 0, ioWait = 0, irq = 0, softIrq = 0, steal = 0] = (text.split('\n')[0] ?? '').trim().split(/\s+/).slice(1).map((ticks) => Number(ticks) * msPerTick)
  return { busyMs: user + nice + system + irq + softIrq, idleMs: idle + ioWait, stolenMs: steal }
}

const readMachine = (): Machine => machineOf(readFileSync('/proc/stat', 'latin1'))

const watchedCostOf = ({ pid, isAlone = false }: WatchedProcess): Cost => isAlone ? { ...costOf(pid), cpuMs: ownCpuMsOf(pid) } : costOf(pid)

/** Begins to count. @returns what gives the shares since then */
export function countShares (processes: readonly WatchedProcess[]): () => readonly Share[] {
  const startMs = performance.now()
  const costsBefore = processes.map(watchedCostOf)
  const machineBefore = readMachine()
  return () => {
    const wallMs = performance.now() - startMs
    const machine = readMachine()
    const costs = processes.map((watched, index) => costBetween(costsBefore[index] as Cost, watchedCostOf(watched)))
    const known = costs.reduce((sum, { cpuMs }) => sum + cpuMs, 0)
    const rows = processes.flatMap(({ name, isByThread = false }, index) => {
      const cost = costs[index] as ReturnType<typeof costBetween>
      const threads = isByThread ? Object.entries(cost.cpuMsByThread).sort(([, a], [, b]) => b - a).map(([thread, cpuMs]) => ({ name: `... of it ${thread}`, cores: cpuMs / wallMs })).filter(({ cores }) => cores >= threadCoresMin) : []
      return [{ name, cores: cost.cpuMs / wallMs }, ...threads]
    })
    return [
      ...rows,
      { name: 'everything else', cores: Math.max(0, machine.busyMs - machineBefore.busyMs - known) / wallMs },
      { name: 'idle', cores: (machine.idleMs - machineBefore.idleMs) / wallMs },
      { name: 'taken by the host', cores: (machine.stolenMs - machineBefore.stolenMs) / wallMs }
    ]
  }
}

export function sharesTable (title: string, shares: readonly Share[]): Table {
  return { title, columns: ['process', 'cores'], rows: shares.map(({ name, cores }) => [name, cores.toFixed(2)]), notes: [] }
}
