// What the services of a deployed cluster take: memory of each unit, disk of each folder of data, on each machine.
import type { DeployHost } from './deploy-hosts.ts'

export interface UnitFootprint {
  readonly host: string
  /** As the budget of playbooks/validate.yml names it. */
  readonly part: string
  /** Resident, of all its processes; shared pages are counted with each. */
  readonly memoryMb: number
  /** The most since the processes' start. */
  readonly memoryPeakMb: number
  readonly diskMb: number | undefined
}

interface Part { readonly part: string, readonly unit: string, readonly folder?: string }

const parts: readonly Part[] = [
  { part: 'kafka', unit: 'kafka', folder: 'kafka' },
  { part: 'redis', unit: 'redis-server', folder: 'redis' },
  { part: 'gateway', unit: 'tollgate-gateway', folder: 'tollgate/role-gateway' },
  { part: 'aggregator', unit: 'tollgate-aggregator', folder: 'tollgate/role-aggregator' },
  { part: 'billing', unit: 'tollgate-billing', folder: 'tollgate/role-billing' },
  { part: 'elasticsearch', unit: 'elasticsearch', folder: 'elasticsearch' },
  { part: 'indexer', unit: 'tollgate-indexer', folder: 'indexer' },
  { part: 'prometheus', unit: 'prometheus', folder: 'prometheus' }
]

// Each line of the status of each process of the unit's control group.
const script = `
group=$(systemctl show -p ControlGroup --value UNIT)
for pid in $(find /sys/fs/cgroup$group -name cgroup.procs -exec cat {} +); do grep -E "^Vm(RSS|HWM):" /proc/$pid/status 2>/dev/null; done
du -sm /data/FOLDER 2>/dev/null || true`

export function footprintOf (host: DeployHost): UnitFootprint[] {
  return parts.filter(({ unit }) => host.run(`systemctl is-active ${unit} 2>/dev/null || true`).trim() === 'active').map(({ part, unit, folder }) => {
    const text = host.run(script.replace('UNIT', unit).replace('FOLDER', folder ?? 'none'))
    const sumMb = (name: string): number => Math.round([...text.matchAll(new RegExp(`^${name}:\\s+(\\d+) kB`, 'gm'))].reduce((sum, [, kib]) => sum + Number(kib), 0) / 1024)
    const disk = /^(\d+)\t/m.exec(text)?.[1]
    return { host: host.name, part, memoryMb: sumMb('VmRSS'), memoryPeakMb: sumMb('VmHWM'), diskMb: disk === undefined ? undefined : Number(disk) }
  })
}

// As playbooks/templates/budget.txt.j2 prints them.
const nameWidth = 12
const columnWidth = 14

/** MB by machine and part, as playbooks/validate.yml prints them. */
export function budgetOf (output: string, what: 'memory' | 'disk'): (host: string, part: string) => number | undefined {
  const lines = output.split('\n').map((line) => /^\s*"(.*)",?$/.exec(line)?.[1] ?? '')
  const from = lines.findIndex((line) => line.startsWith(`${what}, MB`))
  const cellsOf = (line: string): string[] => line.slice(nameWidth).match(new RegExp(`.{1,${columnWidth}}`, 'g'))?.map((cell) => cell.trim()) ?? []
  const names = cellsOf(lines[from] ?? '')
  return (host, part) => {
    const cell = cellsOf(lines.slice(from + 1).find((line) => line.startsWith(`${host} `)) ?? '')[names.indexOf(part)]
    return cell === undefined || cell === '' ? undefined : Number(cell)
  }
}

/** A table for docs/benchmarks.md. */
export function footprintRows (footprints: readonly UnitFootprint[], validateOutput: string): string[][] {
  const memory = budgetOf(validateOutput, 'memory')
  const disk = budgetOf(validateOutput, 'disk')
  return footprints.map(({ host, part, memoryMb, memoryPeakMb, diskMb }) => [`${host} ${part}`, String(memoryMb), String(memoryPeakMb), String(memory(host, part) ?? ''), String(diskMb ?? ''), String(disk(host, part) ?? '')])
}
