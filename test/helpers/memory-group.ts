// Holds all processes of a machine to a memory limit where the kernel's memory controller belongs to the first version of
// cgroups: a systemd in a container can't do it itself there.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { TestContext } from 'node:test'
import type { SystemdMachine } from './systemd-machine.ts'

const controller = '/sys/fs/cgroup/memory'

export interface MemoryGroup {
  /** Processes that the kernel has killed because the limit was reached. */
  readonly kills: () => number
  readonly peakBytes: () => number
}

/** What the machine starts from now on. Undefined where there is no such controller. */
export function holdToMemory (t: TestContext, machine: SystemdMachine, bytesMax: number): MemoryGroup | undefined {
  if (!existsSync(path.join(controller, 'memory.limit_in_bytes'))) return undefined
  const group = path.join(controller, path.basename(path.dirname(machine.system)))
  mkdirSync(group)
  t.after(() => { rmdirSync(group) })
  writeFileSync(path.join(group, 'memory.limit_in_bytes'), String(bytesMax))
  // Its first process: what that starts from now on is in the group too.
  writeFileSync(path.join(group, 'cgroup.procs'), machine.leader())
  return {
    kills: () => Number(/^oom_kill (\d+)$/m.exec(readFileSync(path.join(group, 'memory.oom_control'), 'utf8'))?.[1]),
    peakBytes: () => Number(readFileSync(path.join(group, 'memory.max_usage_in_bytes'), 'utf8'))
  }
}
