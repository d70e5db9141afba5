// Machines for the playbooks: Debian 13 with systemd and sshd, each in a container of systemd-nspawn with a network
// namespace of its own, all on one bridge; data on a disk image of each machine's own, mounted at /data. Needs root.
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { chmodSync, closeSync, existsSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { serveDebian } from './debian-cache.ts'
import { debianMirror } from './debian-mirror.ts'
import { eventually } from './eventually.ts'
import { madeOnce } from './made-once.ts'

const root = path.resolve(import.meta.dirname, '../..')
const cache = path.join(root, '.tollgate/services')
const release = 'trixie'
const dataBytes = 16 * 1024 ** 3

export interface DeployHost {
  readonly name: string
  readonly address: string
  /** Its system's folder, seen from here. */
  readonly system: string
  /** Runs a shell command in it as root. @returns its standard output; throws with its error output */
  readonly run: (command: string) => string
  /** Resolves when systemd has started. */
  readonly boot: () => Promise<void>
  /** All its processes end at once. */
  readonly kill: () => Promise<void>
  /** While it runs: from now on nothing more reaches the disk of its data, and what isn't there yet never will. */
  readonly cutDisk: () => void
  /** Of one that was killed: the disk of its data as it is, without anything that was only in memory. */
  readonly remountDisk: () => void
  /** Of one that was killed: a new machine under its name and address, with nothing on its disks. */
  readonly replace: () => void
}

export interface DeployHosts {
  readonly hosts: readonly DeployHost[]
  readonly folder: string
  /** Of this machine, on the bridge. */
  readonly address: string
  /** Logs in as `pi`, who may use sudo. */
  readonly keyFile: string
  readonly knownHostsFile: string
}

/** A machine's whole journal is read at once. */
const outputBytesMax = 2 ** 28
const command = (file: string, ...argv: readonly string[]): string => execFileSync(file, argv, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: outputBytesMax })

/** As a person would flash it: no more than Debian, sshd, Python and sudo. Made once. */
function baseSystem (): string {
  return madeOnce(path.join(cache, `hosts-${release}`), (fresh) => {
    const mirror = debianMirror()
    command('mmdebstrap', '--quiet', '--variant=minbase', '--skip=cleanup/apt/lists', '--include=systemd,systemd-sysv,dbus,python3,python3-apt,openssh-server,iproute2,ca-certificates,sudo', release, fresh, mirror)
    const inside = (script: string): string => command('chroot', fresh, 'sh', '-c', script)
    inside('useradd -m -s /bin/bash pi && echo "pi ALL=(ALL) NOPASSWD: ALL" > /etc/sudoers.d/pi && rm -f /etc/ssh/ssh_host_* && install -d -o pi -g pi -m 700 /home/pi/.ssh')
    writeFileSync(path.join(fresh, 'etc/apt/sources.list'), `deb http://mirror.test/debian ${release} main\n`)
    rmSync(path.join(fresh, 'etc/apt/sources.list.d'), { recursive: true, force: true })
    // Lists keep the name of where they came from.
    const lists = path.join(fresh, 'var/lib/apt/lists')
    for (const name of readdirSync(lists)) if (name.includes('_debian_dists_')) renameSync(path.join(lists, name), path.join(lists, `mirror.test${name.slice(name.indexOf('_debian_dists_'))}`))
    // These disks may forget.
    writeFileSync(path.join(fresh, 'etc/dpkg/dpkg.cfg.d/unsafe'), 'force-unsafe-io\n')
  })
}

export interface HostsSetup {
  /** Folders with repositories of packages, which the hosts find at http://mirror.test/NAME. */
  readonly repositories?: Readonly<Record<string, string>>
}

export async function bootHosts (t: Pick<TestContext, 'after'>, names: readonly string[], { repositories = {} }: HostsSetup = {}): Promise<DeployHosts> {
  const base = baseSystem()
  mkdirSync(path.join(root, '.tollgate'), { recursive: true })
  const folder = mkdtempSync(path.join(root, '.tollgate/hosts-'))
  const ends: (() => Promise<void> | void)[] = [() => { rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) }]
  t.after(async () => { for (const end of ends.reverse()) await end() })
  const number = randomInt(1, 255)
  const bridge = `tg${path.basename(folder).slice(-6)}`
  const address = `10.88.${number}.1`
  command('ip', 'link', 'add', bridge, 'type', 'bridge')
  ends.push(() => { command('ip', 'link', 'del', bridge) })
  command('ip', 'addr', 'add', `${address}/24`, 'dev', bridge)
  command('ip', 'link', 'set', bridge, 'up')
  ends.push(await serveDebian(address, repositories))
  const keyFile = path.join(folder, 'key')
  command('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', keyFile)
  const hosts = names.map((name, index) => makeHost({ name, folder, base, bridge, address: `10.88.${number}.${11 + index}`, gateway: address, ends }))
  const knownHostsFile = path.join(folder, 'known_hosts')
  writeFileSync(knownHostsFile, hosts.map((host) => `${host.address} ${readFileSync(path.join(host.system, 'etc/ssh/ssh_host_ed25519_key.pub'), 'utf8')}`).join(''))
  await Promise.all(hosts.map((host) => host.boot()))
  return { hosts, folder, address, keyFile, knownHostsFile }
}

interface HostSetup { readonly name: string, readonly folder: string, readonly base: string, readonly bridge: string, readonly address: string, readonly gateway: string, readonly ends: (() => Promise<void> | void)[] }

function makeHost ({ name, folder, base, bridge, address, gateway, ends }: HostSetup): DeployHost {
  const at = (part: string): string => path.join(folder, `${name}-${part}`)
  const system = at('system')
  const disks = disksOf({ base, at, setUp: () => { fillSystem({ name, folder, system, gateway }) } })
  command('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', at('host-key'))
  disks.make()
  ends.push(disks.remove)
  const namespace = `${bridge}-${name}`
  const outside = `${bridge}${name.slice(-2)}`
  command('ip', 'netns', 'add', namespace)
  ends.push(() => { command('ip', 'netns', 'del', namespace) })
  command('ip', 'link', 'add', outside, 'type', 'veth', 'peer', 'name', 'host0', 'netns', namespace)
  command('ip', 'link', 'set', outside, 'master', bridge, 'up')
  command('ip', '-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'host0')
  for (const device of ['host0', 'lo']) command('ip', '-n', namespace, 'link', 'set', device, 'up')
  return { ...runningHost({ name, address, system, namespace, data: at('data'), logFile: at('boot.log'), ends }), cutDisk: disks.cut, remountDisk: disks.remount, replace: () => { disks.remove(); disks.make() } }
}

/** What a person sets up on a fresh machine: its name, and a key to log in with. Its own key stays, as if it had been noted down. */
function fillSystem ({ name, folder, system, gateway }: { readonly name: string, readonly folder: string, readonly system: string, readonly gateway: string }): void {
  writeFileSync(path.join(system, 'etc/hostname'), `${name}\n`)
  writeFileSync(path.join(system, 'etc/hosts'), `127.0.0.1 localhost\n127.0.1.1 ${name}\n${gateway} mirror.test\n`)
  const put = (from: string, to: string, mode: number): void => { writeFileSync(path.join(system, to), readFileSync(path.join(folder, from))); chmodSync(path.join(system, to), mode) }
  put(`${name}-host-key`, 'etc/ssh/ssh_host_ed25519_key', 0o600)
  put(`${name}-host-key.pub`, 'etc/ssh/ssh_host_ed25519_key.pub', 0o644)
  put('key.pub', 'home/pi/.ssh/authorized_keys', 0o644)
}

interface Disks { readonly make: () => void, readonly remove: () => void, readonly cut: () => void, readonly remount: () => void }

/** The system over the base, and a disk image of the machine's own for its data. */
function disksOf ({ base, at, setUp }: { readonly base: string, readonly at: (part: string) => string, readonly setUp: () => void }): Disks {
  const mountData = (): void => { command('mount', '-o', 'loop', at('data.img'), at('data')) }
  const make = (): void => {
    for (const part of ['system', 'upper', 'work', 'data']) mkdirSync(at(part), { recursive: true })
    command('mount', '-t', 'overlay', 'overlay', '-o', `lowerdir=${base},upperdir=${at('upper')},workdir=${at('work')}`, at('system'))
    const file = openSync(at('data.img'), 'wx')
    ftruncateSync(file, dataBytes)
    closeSync(file)
    command('mkfs.ext4', '-q', '-m', '0', at('data.img'))
    mountData()
    setUp()
  }
  const remove = (): void => {
    for (const part of ['system', 'data']) command('umount', '-l', at(part))
    for (const part of ['upper', 'work', 'data.img']) rmSync(at(part), { recursive: true, force: true, maxRetries: 5 })
  }
  // EXT4_IOC_SHUTDOWN without flushing the file system's own log: as if the current were gone.
  const cut = (): void => { command('python3', '-c', 'import fcntl, os, struct, sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack("I", 2))', at('data')) }
  const remount = (): void => { command('umount', at('data')); mountData() }
  return { make, remove, cut, remount }
}

interface RunningSetup { readonly name: string, readonly address: string, readonly system: string, readonly namespace: string, readonly data: string, readonly logFile: string, readonly ends: (() => Promise<void> | void)[] }

/** Where the kernel keeps groups of processes: the new way, and beside it the place of systemd's own. */
const groupRoots = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup', '/sys/fs/cgroup/systemd'].filter((folder) => existsSync(path.join(folder, 'cgroup.procs')))

/** A group of the machine's own: in one that machines share, whoever ends a unit ends those of the same name on all of them. */
function ownGroup (name: string): { readonly folders: readonly string[], readonly remove: () => void } {
  const folders = groupRoots.map((root) => path.join(root, name))
  for (const folder of folders) mkdirSync(folder, { recursive: true })
  // Only a folder can be removed there, the innermost first; processes that have just ended keep it for a moment.
  const remove = (): void => { command('sh', '-c', 'for i in 1 2 3 4 5 6 7 8 9 10; do for folder; do [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true; done; done', 'remove', ...folders) }
  return { folders, remove }
}

function runningHost ({ name, address, system, namespace, data, logFile, ends }: RunningSetup): Omit<DeployHost, 'cutDisk' | 'remountDisk' | 'replace'> {
  let container: ChildProcess | undefined
  let ended: Promise<unknown> = Promise.resolve()
  /** The container's own first process. */
  const leader = (): string => readFileSync(`/proc/${container?.pid ?? 0}/task/${container?.pid ?? 0}/children`, 'utf8').trim().split(' ')[0] ?? ''
  const run = (script: string): string => command('nsenter', '-t', leader(), '-a', 'sh', '-c', script)
  // The container's first process takes all others with it; systemd-nspawn's own end would leave them running.
  const kill = async (): Promise<void> => {
    if (container === undefined) return
    const first = Number(leader())
    if (first > 0) process.kill(first, 'SIGKILL')
    await ended
    container = undefined
  }
  const group = ownGroup(namespace)
  ends.push(group.remove, kill)
  return {
    name,
    address,
    system,
    run,
    kill,
    boot: async () => {
      const log = openSync(logFile, 'a')
      const started = spawn('sh', [
        '-c', `${group.folders.map((each) => `echo $$ > ${each}/cgroup.procs; `).join('')}exec "$@"`, 'boot', 'systemd-nspawn',
        '--quiet', '--register=no', '--keep-unit', `--network-namespace-path=/run/netns/${namespace}`, '--capability=CAP_NET_ADMIN', `--bind=${data}:/data`,
        '--boot', '--console=pipe', '--resolv-conf=off', '-D', system, '-M', name
      ], { env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' }, stdio: ['ignore', log, log] })
      closeSync(log)
      container = started
      ended = new Promise((resolve) => { started.once('exit', resolve) })
      await eventually(`${name} has started (log: ${logFile})`, () => /running|degraded/.test(run('systemctl is-system-running || true')) && run('systemctl is-active ssh || true').startsWith('active'), { withinMs: 120_000, everyMs: 250 })
    }
  }
}
