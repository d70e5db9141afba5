// What happens to machines, and what people do about it, each while requests go on; at the end of each every key pays for what
// it was answered, and nobody for more than was sent.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DeployHost, DeployHosts } from '../helpers/deploy-hosts.ts'
import { upstreamPort } from '../helpers/deployed-cluster.ts'
import type { DeployedCluster, LoadResult } from '../helpers/deployed-cluster.ts'
import { eventually } from '../helpers/eventually.ts'
import type { AnsibleResult } from '../services/ansible/run.ts'

export interface Deployed {
  readonly made: DeployHosts
  readonly cluster: DeployedCluster
  readonly startUpstream: () => void
  readonly assertDone: (result: AnsibleResult, what: string) => void
}

/** @param answersMin fewer would prove nothing */
function assertExact (t: TestContext, { isExact, keys, text }: LoadResult, answersMin: number): void {
  const sum = (of: 'answered' | 'unanswered' | 'unconnected' | 'refused'): number => keys.reduce((total, key) => total + key[of], 0)
  t.diagnostic(`note: ${t.name}: ${sum('answered')} answers, ${sum('unanswered')} requests without one, ${sum('unconnected')} that nobody took, ${sum('refused')} refused or failed`)
  assert.ok(isExact, text)
  assert.ok(sum('answered') >= answersMin, text)
}

async function assertProven ({ cluster, made, assertDone }: Deployed): Promise<void> {
  const proof = await cluster.playbook('playbooks/verify.yml', ['-e', 'verify_wait_s=600'])
  assertDone(proof, proof.code === 0 ? '' : `verify.yml; ${failedUnits(made)}`)
}

/** What failed on which machine, and its last words: the machines are gone afterwards. */
function failedUnits ({ hosts }: DeployHosts): string {
  return hosts.flatMap((host) => host.run('systemctl list-units --failed --plain --no-legend | cut -d" " -f1').split('\n').filter((unit) => unit !== '').map((unit) => `${host.name} ${unit}: ${host.run(`journalctl --no-pager -o cat -n 15 -u ${unit}`)}`)).join('\n')
}

export async function restarts (t: TestContext, deployed: Deployed): Promise<void> {
  const { cluster, made, assertDone } = deployed
  const startOf = (host: DeployHost, unit: string): string => host.run(`systemctl show -p ExecMainStartTimestampMonotonic --value ${unit}`)
  const units = [['pi1', 'kafka'], ['pi3', 'kafka'], ['pi1', 'redis-server'], ['pi2', 'tollgate-gateway'], ['pi3', 'tollgate-aggregator'], ['pi4', 'elasticsearch'], ['pi4', 'tollgate-indexer']] as const
  const all = (): string[] => units.map(([name, unit]) => startOf(hostOf(made, name), unit))
  const before = all()
  const { members } = registryOf(made, cluster, 'pi1')
  assert.ok(members > 0)
  assertExact(t, await cluster.underLoad(20, 120, async () => { assertDone(await cluster.playbook('playbooks/restart.yml'), 'restart.yml') }), 1_000)
  all().forEach((start, index) => { assert.notEqual(start, before[index], `${units[index]?.join(' ') ?? ''} was restarted`) })
  assert.ok(registryOf(made, cluster, 'pi1').members > members, 'no member was lost')
}

/** What the Redis of a machine has: one member for each load that there was. */
function registryOf (made: DeployHosts, cluster: DeployedCluster, name: string): { readonly members: number, readonly replication: string } {
  const host = hostOf(made, name)
  const redis = (command: string): string => host.run(`REDISCLI_AUTH=${cluster.secrets()['redis_admin'] ?? ''} redis-cli --tls --cacert /etc/redis/tls/ca.pem -h ${host.address} --user admin --no-auth-warning ${command}`)
  return { members: redis('--scan --pattern "tollgate:*member:*"').split('\n').filter((line) => /member:\d+$/.test(line)).length, replication: redis('info replication') }
}

export async function anotherPrimary (t: TestContext, { cluster, made, assertDone }: Deployed): Promise<void> {
  const { members } = registryOf(made, cluster, 'pi1')
  assertExact(t, await cluster.underLoad(20, 90, async () => { assertDone(await cluster.playbook('playbooks/promote-redis.yml', ['-e', 'host=pi2']), 'promote-redis.yml') }), 800)
  const [pi1, pi2] = [registryOf(made, cluster, 'pi1'), registryOf(made, cluster, 'pi2')]
  assert.match(pi2.replication, /role:master[\s\S]*connected_slaves:1/)
  assert.match(pi1.replication, /role:slave[\s\S]*master_link_status:up/)
  assert.equal(pi2.members, members + 1, 'it has every member, and that of this load')
}

export async function killedBroker (t: TestContext, { cluster, made }: Deployed): Promise<void> {
  const pi2 = hostOf(made, 'pi2')
  assertExact(t, await cluster.underLoad(40, 60, async () => {
    pi2.run('systemctl kill --signal=KILL kafka')
    await eventually('the broker is back', () => pi2.run('systemctl is-active kafka || true').startsWith('active'), { withinMs: 120_000, everyMs: 1_000 })
  }), 2_000)
}

/** Clients still reach pi1, and pi1 the API; nothing else passes between it and the other machines. */
export async function cutNetwork (t: TestContext, deployed: Deployed): Promise<void> {
  const { cluster, made } = deployed
  const pi1 = hostOf(made, 'pi1')
  const others = made.hosts.filter((host) => host !== pi1).map(({ address }) => address).join(', ')
  const rules = `table inet cut {
    chain in {
      type filter hook input priority -10
      tcp sport ${upstreamPort} accept
      ip saddr { ${others} } drop
    }
    chain out {
      type filter hook output priority -10
      tcp dport ${upstreamPort} accept
      ip daddr { ${others} } drop
    }
  }`
  assertExact(t, await cluster.underLoad(40, 120, async () => {
    pi1.run(`echo '${rules}' | nft -f -`)
    await sleep(60_000)
    pi1.run('nft delete table inet cut')
  }), 3_500)
  await assertProven(deployed)
}

export async function replacedHost (t: TestContext, deployed: Deployed): Promise<void> {
  const { cluster, made, assertDone } = deployed
  const pi3 = hostOf(made, 'pi3')
  assertExact(t, await cluster.underLoad(20, 240, async () => {
    await pi3.kill()
    pi3.replace()
    await pi3.boot()
    assertDone(await cluster.playbook('playbooks/replace-host.yml', ['-e', 'host=pi3']), 'replace-host.yml')
  }), 3_000)
  assertDone(await cluster.playbook('playbooks/health-check.yml'), 'health-check.yml')
  await assertProven(deployed)
}

/** @returns the name of the backup */
async function backUp ({ cluster, assertDone }: Deployed, argv: readonly string[] = []): Promise<string> {
  const backup = await cluster.playbook('playbooks/backup.yml', argv)
  assertDone(backup, 'backup.yml')
  return /backup: \S*\/([^/"\s]+)"?/.exec(backup.output)?.[1] ?? ''
}

export async function wipedBilling (t: TestContext, deployed: Deployed): Promise<void> {
  const { cluster, made, assertDone } = deployed
  const pi4 = hostOf(made, 'pi4')
  const name = await backUp(deployed)
  const restore = (): Promise<AnsibleResult> => cluster.playbook('playbooks/restore.yml', ['-e', 'host=pi4', '-e', `backup=${name}`])
  const refused = await restore()
  assert.notEqual(refused.code, 0)
  assert.match(refused.output, /pi4 has a state: .*A backup goes into an empty state alone/s)
  assertExact(t, await cluster.underLoad(20, 120, async () => {
    pi4.run('systemctl stop tollgate-billing && rm -rf /data/tollgate')
    assertDone(await restore(), 'restore.yml')
  }), 1_500)
  await assertProven(deployed)
}

/** What the primary of Redis had is gone; `anotherPrimary` has made it pi2. Gateways go on with the keys that they know. */
export async function wipedRedis (t: TestContext, deployed: Deployed): Promise<void> {
  const { cluster, made, assertDone } = deployed
  const pi2 = hostOf(made, 'pi2')
  const { members } = registryOf(made, cluster, 'pi2')
  assertExact(t, await cluster.underLoad(20, 180, async () => {
    // It has the member and the keys of this load too.
    const name = await backUp(deployed, ['-e', 'host=pi2'])
    const restore = (): Promise<AnsibleResult> => cluster.playbook('playbooks/restore.yml', ['-e', 'host=pi2', '-e', `backup=${name}`, '-e', 'part=redis'])
    const refused = await restore()
    assert.notEqual(refused.code, 0)
    assert.match(refused.output, /pi2: Redis has data: .*A backup goes into an empty one alone/s)
    pi2.run('systemctl stop redis-server && find /data/redis -mindepth 1 -delete')
    assertDone(await restore(), 'restore.yml of Redis')
  }), 2_500)
  assert.equal(registryOf(made, cluster, 'pi2').members, members + 1, 'it has every member, and that of this load')
  await eventually('the replica follows it', () => /master_link_status:up/.test(registryOf(made, cluster, 'pi1').replication), { withinMs: 60_000, everyMs: 1_000 })
  assert.equal(registryOf(made, cluster, 'pi1').members, members + 1)
}

/** Each machine's disk has what had reached it, and nothing of what was in memory. */
export async function powerCut (t: TestContext, deployed: Deployed): Promise<void> {
  const { cluster, made, startUpstream } = deployed
  assertExact(t, await cluster.underLoad(60, 120, async () => {
    await sleep(20_000)
    for (const host of made.hosts) host.cutDisk()
    await Promise.all(made.hosts.map((host) => host.kill()))
    for (const host of made.hosts) host.remountDisk()
    await Promise.all(made.hosts.map((host) => host.boot()))
    startUpstream()
  }), 1_000)
  await assertProven(deployed)
}

export function hostOf ({ hosts }: DeployHosts, name: string): DeployHost {
  const found = hosts.find((host) => host.name === name)
  assert.ok(found !== undefined)
  return found
}
