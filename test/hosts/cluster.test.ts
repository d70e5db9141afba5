// Four machines from nothing, by the playbooks a person runs: deployed, loaded, billed to the unit, proven; run again without a
// change; upgraded under load. In the long form with Elasticsearch and Prometheus, and on: a version that doesn't work, from which
// each machine comes back by itself; what happens to machines (cluster-faults.ts), down to a power cut of all four; at last
// everything taken off again.
import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { bootHosts } from '../helpers/deploy-hosts.ts'
import type { DeployHost } from '../helpers/deploy-hosts.ts'
import { describeCluster, otherVersion, recap, upstreamPort } from '../helpers/deployed-cluster.ts'
import { askElasticsearch, documentsByKey } from '../helpers/deployed-elasticsearch.ts'
import { footprintOf, footprintRows } from '../helpers/deployed-footprint.ts'
import { writeFootprint } from '../helpers/footprint-page.ts'
import { eventually } from '../helpers/eventually.ts'
import { builtFolder, ownTarget } from '../helpers/packed-file.ts'
import type { AnsibleResult } from '../services/ansible/run.ts'
import { elasticsearchRepository } from '../services/elasticsearch/package.ts'
import { anotherPrimary, cutNetwork, killedBroker, powerCut, replacedHost, restarts, wipedBilling, wipedRedis } from './cluster-faults.ts'

const isLong = process.env['TOLLGATE_LONG'] === 'cluster'

const upstream = `
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = b'{"ok":true}'
        self.send_response(200)
        self.send_header('content-type', 'application/json')
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(('0.0.0.0', ${upstreamPort}), Handler).serve_forever()
`

function assertDone (result: AnsibleResult, what: string): void {
  assert.equal(result.code, 0, `${what}:\n${result.output.split('\n').filter((line) => /fatal|failed: \[|FAILED!|ERROR/.test(line)).join('\n').slice(0, 4_000)}\n${result.output.slice(-1_500)}`)
}

/** @returns whether somebody answers within two seconds */
function answers (address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: address, port, timeout: 2_000 })
    const end = (isThere: boolean): void => { socket.destroy(); resolve(isThere) }
    socket.once('connect', () => { end(true) }).once('timeout', () => { end(false) }).once('error', () => { end(false) })
  })
}

test('four machines from nothing', async (t) => {
  assert.equal(process.getuid?.(), 0, 'only root can make test hosts')
  const files = builtFolder([ownTarget])
  const elasticsearch = isLong ? await elasticsearchRepository() : undefined
  const made = await bootHosts(t, ['pi1', 'pi2', 'pi3', 'pi4'], elasticsearch === undefined ? {} : { repositories: { elastic: elasticsearch.folder } })
  const [pi1, pi2, , pi4] = made.hosts as readonly [DeployHost, DeployHost, DeployHost, DeployHost]
  const cluster = describeCluster(made, files, elasticsearch)
  const nextFolder = path.join(made.folder, 'next')
  writeFileSync(path.join(pi4.system, 'usr/local/lib/upstream.py'), upstream)
  const startUpstream = (): void => { pi4.run('systemd-run -q --unit=upstream python3 /usr/local/lib/upstream.py') }
  startUpstream()
  const longStep = async (name: string, run: (sub: TestContext) => Promise<void> | void): Promise<void> => { if (isLong) await t.test(name, run) }

  await t.test('what doesn\'t fit is refused before anything is touched', async () => {
    const result = await cluster.playbook('site.yml', ['-e', 'budget_events_per_s=5000'])
    assert.notEqual(result.code, 0)
    assert.match(result.output, /pi\d needs \d+ MB of memory and has \d+; it needs \d+ MB of disk at \/data and has \d+/)
    assert.equal(recap(result.output)['changed'], 2, 'the passwords of the control machine, and nothing else')
  })

  await longStep('what site.yml would do on fresh machines can be looked at', async () => {
    const result = await cluster.playbook('site.yml', ['--check', '--diff'])
    assertDone(result, '--check --diff')
    assert.match(result.output, /memory, MB +system +kafka/, 'the budget is printed')
    assert.equal(pi1.run('ls /etc/tollgate /data/kafka 2>/dev/null || true'), '', 'nothing was touched')
  })

  await t.test('site.yml makes the cluster', async () => {
    assert.ok(await answers(pi4.address, upstreamPort), 'the API is open to all before')
    assertDone(await cluster.playbook('site.yml'), 'site.yml')
    assert.ok(!await answers(pi4.address, upstreamPort), 'the API answers to gateways alone')
    assert.ok(!await answers(pi1.address, 9093), 'no stranger comes to Kafka\'s controllers')
    assert.ok(!await answers(pi1.address, 6379), 'nor to Redis')
    assert.ok(!await answers(pi4.address, 9200), 'nor to Elasticsearch')
  })

  await longStep('Prometheus sees every process', async () => {
    const ask = async <Result>(path: string): Promise<Result> => ((await (await fetch(`http://${pi4.address}:9090/api/v1/${path}`)).json()) as { readonly data: Result }).data
    // Two gateways, two aggregators, two billing servers, four machines.
    await eventually('all ten targets are up', async () => {
      const { activeTargets } = await ask<{ readonly activeTargets: readonly { readonly health: string }[] }>('targets')
      return activeTargets.length === 10 && activeTargets.every(({ health }) => health === 'up')
    }, { withinMs: 120_000, everyMs: 1_000 })
    const { groups } = await ask<{ readonly groups: readonly { readonly rules: readonly unknown[] }[] }>('rules')
    assert.ok(groups.flatMap(({ rules }) => rules).length >= 20, 'Tollgate\'s rules are there')
  })

  await t.test('each key pays for what it was answered', async () => {
    const { isExact, keys, text } = await cluster.load(60, 20)
    assert.ok(isExact, text)
    assert.ok(keys.length >= 4 && keys.every(({ answered, unanswered, refused, billed }) => answered >= 100 && unanswered === 0 && refused === 0 && billed.every((count) => count === answered)), text)
    const proof = await cluster.playbook('playbooks/verify.yml')
    assertDone(proof, 'verify.yml')
    assert.equal(proof.output.match(/verify ok: answered = journaled = archived = counted/g)?.length, 2, 'both billing servers prove it')
    if (isLong) await eventually('Elasticsearch has a document for each answer', () => {
      const documents = documentsByKey(pi4, keys.map(({ apiKeyId }) => apiKeyId))
      return keys.every(({ apiKeyId, answered }) => documents.get(apiKeyId) === answered)
    }, { withinMs: 120_000, everyMs: 2_000 })
  })

  await longStep('old days of documents end', () => {
    for (const day of ['2020.01.01', '2020.01.02']) askElasticsearch(pi4, 'PUT', `/api_usage_trace-${day}`)
    const indices = (): number => askElasticsearch<readonly unknown[]>(pi4, 'GET', '/_cat/indices/api_usage_trace-*?format=json').length
    const before = indices()
    pi4.run('systemctl start tollgate-usage-retention.service')
    assert.equal(indices(), before - 2)
    assert.ok(before > 2, 'the days that are not old stay')
  })

  await t.test(`a second run changes nothing${isLong ? ', by the current Ansible too' : ''}`, async () => {
    for (const isCurrent of isLong ? [false, true] : [false]) {
      const result = await cluster.playbook('site.yml', isCurrent ? ['--check', '--diff'] : [], { isCurrent })
      assertDone(result, 'the second run')
      const { changed, failed, ok = 0 } = recap(result.output)
      assert.deepEqual({ changed, failed }, { changed: 0, failed: 0 }, result.output.split('\n').filter((line) => line.startsWith('changed')).join('\n'))
      assert.ok(ok > (isLong ? 200 : 150), 'it looked at everything')
    }
  })

  await t.test('an upgrade under load costs nobody a unit', async () => {
    cluster.set({ tollgate_folder: otherVersion(files, nextFolder, (file) => { appendFileSync(file, '\0') }) })
    const before = pi1.run('readlink -e /usr/local/bin/tollgate')
    const underWay = cluster.load(20, 90)
    const upgrade = await cluster.playbook('playbooks/upgrade.yml')
    const { isExact, keys, text } = await underWay
    assertDone(upgrade, 'upgrade.yml')
    assert.notEqual(pi1.run('readlink -e /usr/local/bin/tollgate'), before)
    for (const host of made.hosts) assert.equal(host.run('readlink /usr/local/lib/tollgate/previous').trim(), path.dirname(before.trim()), 'the version before is kept')
    assert.ok(isExact, text)
    assert.ok(keys.every(({ answered }) => answered >= 300), text)
    t.diagnostic(`note: upgrade: ${keys.reduce((sum, key) => sum + key.answered, 0)} answers, ${keys.reduce((sum, key) => sum + key.unanswered, 0)} requests without one`)
    assertDone(await cluster.playbook('playbooks/verify.yml'), 'verify.yml')
  })

  await longStep('a version that doesn\'t run leaves every machine as it was', async () => {
    const running = pi1.run('readlink -e /usr/local/bin/tollgate').trim()
    const broken = otherVersion(files, path.join(made.folder, 'broken'), (file) => { writeFileSync(file, `#!/bin/sh\n[ "$1" = config ] && exec ${running} "$@"\nexit 1\n`) })
    cluster.set({ tollgate_folder: broken })
    const result = await cluster.playbook('playbooks/upgrade.yml', ['-e', 'tollgate_ready_timeout_s=30'])
    // What every playbook after this one is to deploy.
    cluster.set({ tollgate_folder: nextFolder })
    assert.notEqual(result.code, 0)
    assert.match(result.output, /pi1 runs .* again, and is ready/)
    for (const host of [pi1, pi2]) assert.equal(host.run('readlink -e /usr/local/bin/tollgate').trim(), running)
    const { isExact, text } = await cluster.load(20, 5)
    assert.ok(isExact, text)
  })

  await longStep('what each service takes is written to docs/benchmarks.md', async (sub) => {
    const seconds = 60
    const ratePerS = 60
    const { isExact, text } = await cluster.load(ratePerS, seconds)
    assert.ok(isExact, text)
    const footprints = made.hosts.flatMap(footprintOf)
    assert.ok(footprints.length >= 13, footprints.map(({ host, part }) => `${host} ${part}`).join(', '))
    const rows = footprintRows(footprints, (await cluster.playbook('playbooks/validate.yml')).output)
    for (const [what = '', now = '', peak = '', budget = ''] of rows) assert.ok(Number(budget) > 0 && Number(peak) <= Number(budget), `${what}: ${peak} MB of ${budget} (now ${now})`)
    writeFootprint(rows, { ratePerS, seconds })
    sub.diagnostic(`note: ${rows.map((row) => row.join(' ')).join('; ')}`)
  })

  const deployed = { made, cluster, startUpstream, assertDone }
  await longStep('every service restarted, one machine after the other', (sub) => restarts(sub, deployed))
  await longStep('another machine made the primary of Redis', (sub) => anotherPrimary(sub, deployed))
  await longStep('a broker killed', (sub) => killedBroker(sub, deployed))
  await longStep('a machine cut off from the others for a minute', (sub) => cutNetwork(sub, deployed))
  await longStep('an aggregator, broker and billing server replaced, its disk gone', (sub) => replacedHost(sub, deployed))
  await longStep('billing wiped, and restored from a backup', (sub) => wipedBilling(sub, deployed))
  await longStep('the data of Redis wiped, and restored from a backup', (sub) => wipedRedis(sub, deployed))
  await longStep('the power of all machines cut at once', (sub) => powerCut(sub, deployed))

  await t.test('no password was printed, and none lies open', () => {
    const secrets = Object.values(cluster.secrets()).filter((value) => value.length >= 40)
    assert.ok(secrets.length >= 15)
    const printed = cluster.printed() + readFileSync(cluster.inventoryFile, 'utf8')
    assert.deepEqual(secrets.filter((secret) => printed.includes(secret)), [])
    for (const host of made.hosts) {
      const open = host.run('find /etc /opt /usr/local /data -type f -perm /o+r -size -64k -print0 2>/dev/null | xargs -0 cat 2>/dev/null | tr -d "\\000"')
      assert.deepEqual(secrets.filter((secret) => open.includes(secret)), [], `${host.name}: readable by everybody`)
      const log = host.run('journalctl --no-pager -o cat')
      assert.deepEqual(secrets.filter((secret) => log.includes(secret)), [], `${host.name}: in the journal`)
    }
  })

  await longStep('everything is taken off again, data only when asked for', async () => {
    const uninstall = async (...argv: string[]): Promise<AnsibleResult> => await cluster.playbook('playbooks/uninstall.yml', argv)
    const refused = await uninstall()
    assert.notEqual(refused.code, 0)
    assert.match(refused.output, /Say that you mean it: -e sure=yes/)
    const left = (host: DeployHost): string => host.run('ls -d /etc/tollgate* /etc/systemd/system/*tollgate* /usr/local/bin/tollgate /opt/kafka /etc/kafka /etc/redis/users.acl 2>/dev/null || true')
    const running = (host: DeployHost): string => host.run('systemctl list-units --state=running --plain --no-legend "tollgate*" "kafka*" "redis*" "elasticsearch*" "prometheus.service"')
    for (const host of made.hosts) assert.ok(left(host) !== '' && running(host) !== '', host.name)
    assertDone(await uninstall('-e', 'sure=yes'), 'uninstall.yml')
    for (const host of made.hosts) assert.deepEqual([left(host), running(host)], ['', ''], host.name)
    for (const host of [pi1, pi2]) assert.match(host.run('ls /data'), /kafka[^]*tollgate/, 'data stays')
    assert.ok(await answers(pi4.address, upstreamPort), 'the API is open to all again')
    assertDone(await uninstall('-e', 'sure=yes', '-e', 'with_data=true'), 'uninstall.yml with data')
    for (const host of made.hosts) assert.doesNotMatch(host.run('ls /data'), /tollgate|kafka|redis|elasticsearch/, host.name)
  })
})
