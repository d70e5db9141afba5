// A Debian 13 with a running systemd in a container of systemd-nspawn, with the one file and its units installed as
// docs/systemd.md says. Needs root. The system is made once and copied for each machine.
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, copyFileSync, createWriteStream, globSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { debianMirror } from './debian-mirror.ts'
import { madeOnce } from './made-once.ts'
import { eventually } from './eventually.ts'
import { defaultPrices } from './program.ts'

const root = path.resolve(import.meta.dirname, '../..')
const cache = path.join(root, 'node_modules/.cache/tollgate-build')
const release = 'trixie'

export interface SystemdMachine {
  /** Runs a shell command in it. @returns its standard output; throws with its error output */
  readonly run: (command: string) => string
  /** The process that the service has started, as this machine numbers it. */
  readonly hostPid: (service: string) => number
  /** Its first process, as this machine numbers it: whoever enters its namespaces enters them there. */
  readonly leader: () => string
  /** The folder that is its root. */
  readonly system: string
  /** Another file in the place of the installed one, as docs/packaging.md says. */
  readonly installFile: (file: string) => void
}

function baseSystem (): string {
  return madeOnce(path.join(cache, `system-${release}`), (fresh) => {
    execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', '--include=systemd,systemd-sysv,dbus,libstdc++6', release, fresh, debianMirror()], { stdio: ['ignore', 'ignore', 'inherit'] })
  })
}

/** A running program keeps the file that it was started from. */
function installFile (system: string, file: string): void {
  const place = path.join(system, 'usr/local/bin/tollgate')
  copyFileSync(file, `${place}.new`)
  chmodSync(`${place}.new`, 0o755)
  renameSync(`${place}.new`, place)
}

/** As docs/systemd.md has it. */
function install (system: string, file: string, configuration: string): void {
  installFile(system, file)
  for (const unit of globSync('systemd/*.service', { cwd: root })) copyFileSync(path.join(root, unit), path.join(system, 'etc/systemd/system', path.basename(unit)))
  copyFileSync(path.join(root, 'systemd/tollgate.sysusers.conf'), path.join(system, 'usr/lib/sysusers.d/tollgate.conf'))
  const etc = path.join(system, 'etc/tollgate')
  mkdirSync(path.join(etc, 'credentials'), { recursive: true })
  chmodSync(path.join(etc, 'credentials'), 0o700)
  for (const name of ['api.secret', 'member.secret']) writeFileSync(path.join(etc, 'credentials', name), `the ${name} of more than 32 characters`, { mode: 0o600 })
  for (const [name, text] of [['tollgate.yaml', configuration], ['prices.yaml', defaultPrices]] as const) writeFileSync(path.join(etc, name), text, { mode: 0o644 })
}

export async function bootMachine (t: TestContext, { file, configuration }: { readonly file: string, readonly configuration: string }): Promise<SystemdMachine> {
  mkdirSync(path.join(root, '.tollgate'), { recursive: true })
  const folder = mkdtempSync(path.join(root, '.tollgate/machine-'))
  const system = path.join(folder, 'system')
  execFileSync('cp', ['-a', '--reflink=auto', baseSystem(), system])
  install(system, file, configuration)
  const container = spawn('systemd-nspawn', ['--quiet', '--register=no', '--keep-unit', '--private-network', '--boot', '--console=pipe', '-D', system, '-M', path.basename(folder)], { env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' }, stdio: ['ignore', 'pipe', 'pipe'] })
  const log = createWriteStream(path.join(folder, 'boot.log'))
  container.stdout.pipe(log)
  container.stderr.pipe(log)
  const ended = new Promise((resolve) => { container.once('exit', resolve) })
  /** The container's own first process. */
  const leader = (): string => readFileSync(`/proc/${container.pid ?? 0}/task/${container.pid ?? 0}/children`, 'utf8').trim().split(' ')[0] ?? ''
  const run = (command: string): string => execFileSync('nsenter', ['-t', leader(), '-a', 'sh', '-c', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(async () => {
    container.kill('SIGTERM')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  await eventually(`the machine has started (log: ${folder}/boot.log)`, () => Promise.resolve(/running|degraded/.test(run('systemctl is-system-running || true'))), { withinMs: 120_000 })
  const hostPid = (service: string): number => {
    const inside = run(`systemctl show ${service} -p MainPID --value`).trim()
    const found = readdirSync('/proc').find((name) => /^\d+$/.test(name) && isInside(name, inside))
    if (found === undefined) throw new Error(`${service} runs as process ${inside}, which isn't seen from here`)
    return Number(found)
  }
  const isInside = (pid: string, inside: string): boolean => {
    try {
      const numbers = /^NSpid:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]?.split('\t') ?? []
      return numbers.length > 1 && numbers.at(-1) === inside && execFileSync('readlink', [`/proc/${pid}/exe`], { encoding: 'utf8' }).includes('tollgate')
    } catch {
      return false
    }
  }
  return { run, hostPid, leader, system, installFile: (other) => { installFile(system, other) } }
}
