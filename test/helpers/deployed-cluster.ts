// An inventory for four test hosts, small enough for one machine, and what runs the playbooks and the load on it.
import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { parse, stringify } from 'yaml'
import { ansible } from '../services/ansible/run.ts'
import type { AnsibleOptions, AnsibleResult } from '../services/ansible/run.ts'
import { kafkaArchive } from '../services/kafka-archive/archive.ts'
import type { ElasticsearchRepository } from '../services/elasticsearch/package.ts'
import type { DeployHosts } from './deploy-hosts.ts'

const root = path.resolve(import.meta.dirname, '../..')
export const upstreamPort = 3000
/** A machine that is set up anew while the load ends has much to read. */
const faultBillWaitS = 900

export interface LoadResult {
  readonly code: number | null
  readonly isExact: boolean
  readonly keys: readonly { readonly apiKeyId: number, readonly answered: number, readonly unanswered: number, readonly unconnected: number, readonly refused: number, readonly billed: readonly (number | string)[], readonly isExact: boolean }[]
  readonly text: string
}

export interface DeployedCluster {
  readonly inventoryFile: string
  /** Everything that every playbook has printed. */
  readonly printed: () => string
  readonly playbook: (name: string, argv?: readonly string[], options?: AnsibleOptions) => Promise<AnsibleResult>
  /** @param options.billWaitS how long billing may need until it has what the clients have */
  readonly load: (ratePerS: number, seconds: number, options?: { readonly billWaitS?: number }) => Promise<LoadResult>
  /** The same while `fault` happens, which begins when the first requests are on their way. */
  readonly underLoad: (ratePerS: number, seconds: number, fault: () => Promise<void>) => Promise<LoadResult>
  /** Passwords by name. */
  readonly secrets: () => Readonly<Record<string, string>>
  /** Variables of group_vars/all.yml, over what is there. */
  readonly set: (variables: Readonly<Record<string, unknown>>) => void
}

/**
 * Hosts are pi1 to pi4; the example's own inventory is the base.
 * @param fileFolder of bin/build
 * @param elasticsearch undefined: a cluster without Elasticsearch, its indexer, and Prometheus
 */
export function describeCluster ({ hosts, folder, keyFile, knownHostsFile }: DeployHosts, fileFolder: string, elasticsearch: ElasticsearchRepository | undefined): DeployedCluster {
  const inventory = path.join(folder, 'inventory')
  cpSync(path.join(root, 'ansible/inventory/example'), inventory, { recursive: true })
  const inventoryFile = path.join(inventory, 'hosts.yml')
  const variablesFile = path.join(inventory, 'group_vars/all.yml')
  const example = parse(readFileSync(inventoryFile, 'utf8')) as { readonly all: { readonly hosts: Record<string, Record<string, unknown>>, readonly vars: Record<string, unknown>, readonly children: Record<string, { hosts: Record<string, unknown> }> } }
  for (const { name, address } of hosts) Object.assign(example.all.hosts[name] ?? {}, { ansible_host: address })
  Object.assign(example.all.vars, { ansible_ssh_private_key_file: keyFile, ansible_ssh_common_args: `-o UserKnownHostsFile=${knownHostsFile}` })
  // Two gateways are enough for one machine's two cores; the API is on pi4.
  // Kibana, Metricbeat and Logstash aren't to be had here.
  Object.assign(example.all.children, { gateways: { hosts: { pi1: {}, pi2: {} } }, upstreams: { hosts: { pi4: {} } }, kibana: { hosts: {} }, metricbeat: { hosts: {} } })
  if (elasticsearch === undefined) Object.assign(example.all.children, { elasticsearch: {}, indexers: {}, kibana: {}, metricbeat: {}, prometheus: {} })
  writeFileSync(inventoryFile, stringify(example))
  const archive = kafkaArchive()
  const set: DeployedCluster['set'] = (variables) => { writeFileSync(variablesFile, stringify({ ...parse(readFileSync(variablesFile, 'utf8')) as object, ...variables })) }
  set({
    tollgate_upstreams: { main: { url: `http://${hosts[3]?.address ?? ''}:${upstreamPort}` } },
    tollgate_routes: [{ id: 'api', path: '/api/**', upstream: 'main' }],
    tollgate_price_book: { currency: 'KRW', groups: [{ id: 1, name: 'requests', prices: [{ cost: 10 }] }], endpoints: [{ id: 1, group: 1, path: '/api/**' }] },
    tollgate_folder: fileFolder,
    tollgate_journal_bytes: 512 * 1024 * 1024,
    tollgate_keep_hours: 1,
    upstream_ports: [upstreamPort],
    budget_events_per_s: 20,
    budget_archive_days: 30,
    kafka_heap_mb: 256,
    kafka_java_options: '-XX:+UseSerialGC -XX:TieredStopAtLevel=1',
    kafka_internal_partitions: 3,
    kafka_version: archive.version,
    kafka_archive_sha512: archive.sha512,
    kafka_archive_file: archive.file,
    redis_memory_mb: 64,
    ...(elasticsearch === undefined ? {} : elasticsearchVariables(elasticsearch)),
    management_networks: ['10.88.0.0/16'],
    client_networks: ['10.88.0.0/16']
  })
  let printed = ''
  return {
    inventoryFile,
    printed: () => printed,
    playbook: async (name, argv = [], options = {}) => {
      const result = await ansible('ansible-playbook', ['-i', inventoryFile, name, ...argv], options)
      printed += result.output
      appendFileSync(path.join(folder, 'playbooks.log'), `=== ${name} ${argv.join(' ')}\n${result.output}`)
      return result
    },
    load: (ratePerS, seconds, { billWaitS = 300 } = {}) => startLoad(inventoryFile, ['--rate', ratePerS, '--seconds', seconds, '--wait', billWaitS]).ended,
    underLoad: async (ratePerS, seconds, fault) => {
      const load = startLoad(inventoryFile, ['--rate', ratePerS, '--seconds', seconds, '--wait', faultBillWaitS])
      await Promise.race([load.sending, load.ended])
      await fault()
      return await load.ended
    },
    secrets: () => parse(readFileSync(path.join(inventory, 'generated/secrets.yml'), 'utf8')) as Record<string, string>,
    set
  }
}

function elasticsearchVariables ({ version, keyFile, keyFingerprint }: ElasticsearchRepository): Readonly<Record<string, unknown>> {
  return {
    elastic_version: version,
    elastic_apt_url: 'http://mirror.test/elastic',
    elastic_keep_days: 2,
    elasticsearch_key_file: keyFile,
    elasticsearch_key_fingerprint: keyFingerprint,
    elasticsearch_is_bare: true,
    elasticsearch_heap_mb: 512,
    elasticsearch_java_options: ['-XX:-UseG1GC', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
  }
}

interface StartedLoad { readonly sending: Promise<void>, readonly ended: Promise<LoadResult> }

function startLoad (inventoryFile: string, options: readonly (string | number)[]): StartedLoad {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', path.join(root, 'load/main.ts'), '--inventory', inventoryFile, ...options.map(String), '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  const sending = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString() })
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString()
      if (errors.includes('sending')) resolve()
    })
  })
  const ended = new Promise<LoadResult>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => {
      try {
        resolve({ code, text: `${output}${errors}`, ...JSON.parse(output) as Pick<LoadResult, 'isExact' | 'keys'> })
      } catch {
        reject(new Error(`bin/load ended with ${code}: ${output}${errors}`))
      }
    })
  })
  return { sending, ended }
}

/** What each machine's recap says, summed up: `changed`, `failed` and so on. */
export function recap (output: string): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {}
  for (const line of (output.split('PLAY RECAP').at(-1) ?? '').split('\n')) for (const [, name = '', count = ''] of line.matchAll(/(\w+)=(\d+)/g)) sums[name] = (sums[name] ?? 0) + Number(count)
  return sums
}

/** The folder of another version: the same file but for what `change` does to it. */
export function otherVersion (fileFolder: string, folder: string, change: (file: string) => void): string {
  mkdirSync(folder, { recursive: true })
  const [name = ''] = execFileSync('sh', ['-c', `cd '${fileFolder}' && ls | grep -E 'linux-x64$'`], { encoding: 'utf8' }).trim().split('\n')
  copyFileSync(path.join(fileFolder, name), path.join(folder, name))
  change(path.join(folder, name))
  execFileSync('sh', ['-c', `cd '${folder}' && sha256sum ${name} > SHA256SUMS`])
  return folder
}
