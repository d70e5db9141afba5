// What the roles write that can't be run here - Logstash, Kibana, Metricbeat - on each machine of the example inventory, and the
// indexer's files: rendered by Ansible, and read by whatever can read them.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { parse } from 'yaml'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { ansible, ansibleFolder } from '../services/ansible/run.ts'

type Settings = Readonly<Record<string, unknown>>
interface Rendered { readonly read: (host: string, name: string) => string, readonly yaml: (host: string, name: string) => Settings, readonly folder: string }

const machines = ['pi1', 'pi2', 'pi3', 'pi4']

async function render (t: TestContext, role: string): Promise<Rendered> {
  const folder = temporaryFolder(t)
  const { code, output } = await ansible('ansible-playbook', ['-i', 'inventory/example/hosts.yml', path.join(import.meta.dirname, 'templates/render.yml'), '-e', `ansible_folder=${ansibleFolder}`, '-e', `render_folder=${folder}`, '-e', `render_role=${role}`])
  assert.equal(code, 0, output)
  const read = (host: string, name: string): string => {
    const text = readFileSync(path.join(folder, host, name), 'utf8')
    assert.doesNotMatch(text, /\{\{|\}\}|\{%|localhost|undefined/, `${host}: ${name}`)
    return text
  }
  return { folder, read, yaml: (host, name) => parse(read(host, name)) as Settings }
}

test('Metricbeat looks at what runs on its machine, by its address, and logs in', async (t) => {
  const { yaml } = await render(t, 'metricbeat')
  const modules = (host: string): readonly Settings[] => yaml(host, 'metricbeat.yml')['metricbeat.modules'] as readonly Settings[]
  const kinds = (host: string): string[] => modules(host).map((module) => String(module['module'])).sort()
  assert.deepEqual(kinds('pi1'), ['kafka', 'prometheus', 'prometheus', 'redis', 'system', 'system'])
  assert.deepEqual(kinds('pi3'), ['kafka', 'prometheus', 'prometheus', 'system', 'system'])
  assert.deepEqual(kinds('pi4'), ['elasticsearch', 'prometheus', 'prometheus', 'system', 'system'])
  // As the generated file has them: the same metric sets, periods and filters.
  const source = parse(readFileSync(path.join(ansibleFolder, '../monitoring/metricbeat/metricbeat.yml'), 'utf8')) as { readonly 'metricbeat.modules': readonly Settings[] }
  const measured = ({ module, metricsets, period, metrics_filters: filters }: Settings): string => JSON.stringify([module, metricsets, period, filters])
  const known = source['metricbeat.modules'].map(measured)
  for (const host of machines) {
    for (const module of modules(host)) {
      assert.ok(known.includes(measured(module)), measured(module))
      if (module['module'] === 'system') continue
      const hosts = module['hosts'] as readonly string[]
      assert.ok(hosts.length > 0 && hosts.every((each) => each.includes(`192.168.1.1${host.slice(2)}:`)), JSON.stringify(module))
      const isOpen = hosts.every((each) => each.endsWith(':9100'))
      assert.equal(module['ssl.certificate_authorities'] !== undefined, !isOpen, JSON.stringify(module))
    }
    assert.deepEqual((yaml(host, 'metricbeat.yml')['output.elasticsearch'] as Settings)['hosts'], ['https://192.168.1.14:9200'])
  }
  assert.deepEqual(modules('pi2').find((module) => JSON.stringify(module).includes('^tollgate_'))?.['hosts'], ['https://192.168.1.12:9464', 'https://192.168.1.12:9465'], 'each role that runs there')
})

test('Kibana speaks TLS at its machine\'s address, and its keys are long enough', async (t) => {
  const settings = (await render(t, 'kibana')).yaml('pi4', 'kibana.yml')
  assert.equal(settings['server.host'], '192.168.1.14')
  assert.equal(settings['server.ssl.enabled'], true)
  assert.deepEqual(settings['elasticsearch.hosts'], ['https://192.168.1.14:9200'])
  const keys = ['xpack.security.encryptionKey', 'xpack.reporting.encryptionKey'].map((name) => String(settings[name]))
  assert.ok(new Set(keys).size === 2 && keys.every((key) => key.length >= 32))
})

test('Logstash has the generated settings, a bounded heap, and everything that its pipeline asks for', async (t) => {
  const { read, yaml } = await render(t, 'logstash')
  const settings = yaml('pi4', 'logstash.yml')
  const generated = parse(readFileSync(path.join(ansibleFolder, '../monitoring/logstash/logstash.yml'), 'utf8')) as Settings
  for (const [name, value] of Object.entries(generated)) assert.deepEqual(settings[name], value, name)
  assert.match(read('pi4', 'jvm.options'), /^-Xms512m\n-Xmx512m\n/)
  assertAsksForNoMore(read('pi4', 'environment'), 'logstash/pipeline-secured.conf', /\$\{(\w+)[:}]/g)
})

test('rsyslogd takes the indexer\'s configuration with the environment that it gets', async (t) => {
  const { folder, read } = await render(t, 'rsyslog_indexer')
  const environment = Object.fromEntries(read('pi4', 'environment').split('\n').filter((line) => /^\w+=/.test(line)).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
  assertAsksForNoMore(read('pi4', 'environment'), 'rsyslog/usage-secured.conf', /echo [^`]*\$(\w+)/g)
  const ca = path.join(folder, 'ca.pem')
  writeFileSync(ca, '')
  const check = (env: Readonly<Record<string, string>>): string => execFileSync('sh', ['-c', 'rsyslogd -N1 -iNONE -f "$0" 2>&1 || true', path.join(ansibleFolder, '../monitoring/rsyslog/usage-secured.conf')], { encoding: 'utf8', env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin`, ...env } })
  assert.match(check({ ...environment, TOLLGATE_INDEXER_STATE: folder, TOLLGATE_INDEXER_CA: ca }), /End of config validation run/)
  assert.match(check({ ...environment, TOLLGATE_INDEXER_STATE: folder, TOLLGATE_INDEXER_CA: `${ca}.missing` }), /error/, 'and says what is wrong')
})

/** @param asked finds the names of variables in a generated file */
function assertAsksForNoMore (environment: string, generated: string, asked: RegExp): void {
  const names = [...new Set([...readFileSync(path.join(ansibleFolder, '../monitoring', generated), 'utf8').matchAll(asked)].map(([, name = '']) => name))]
  assert.ok(names.length >= 6, names.join(' '))
  assert.deepEqual(names.filter((name) => !new RegExp(`^${name}=.+$`, 'm').test(environment)), [])
}

test('systemd understands the units of indexer and retention', async (t) => {
  const folder = temporaryFolder(t)
  mkdirSync(path.join(folder, 'units'))
  for (const role of ['rsyslog_indexer', 'elasticsearch']) {
    const rendered = await render(t, role)
    for (const name of readdirSync(path.join(rendered.folder, 'pi4')).filter((file) => /\.(?:service|timer)$/.test(file))) {
      // What the program would be asked to do is no matter of systemd's; it looks whether it is there.
      writeFileSync(path.join(folder, 'units', name), rendered.read('pi4', name).replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true'))
    }
  }
  const units = readdirSync(path.join(folder, 'units'))
  assert.deepEqual(units, ['tollgate-indexer.service', 'tollgate-usage-retention.service', 'tollgate-usage-retention.timer'])
  const output = execFileSync('sh', ['-c', 'systemd-analyze verify "$@" 2>&1', 'sh', ...units.map((name) => path.join(folder, 'units', name))], { encoding: 'utf8' })
  assert.equal(output.split('\n').filter((line) => line.includes('tollgate-') && !/RequiresMountsFor|User=|elasticsearch\.service/.test(line)).join('\n'), '')
})
