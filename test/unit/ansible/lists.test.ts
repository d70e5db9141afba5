// What stands in two places - the playbooks and the documents or programs beside them - is the same in both.
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'

const root = path.resolve(import.meta.dirname, '../../..')
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8')

interface RightEntry { readonly user: string, readonly kind: string, readonly names: readonly string[] | string, readonly operations: readonly string[] }

/** `user kind name operation`, a line each. */
function playbookRights (): string[] {
  const defaults = parse(read('ansible/roles/kafka/defaults/main.yml')) as { readonly kafka_topics_described: readonly string[], readonly kafka_rights: readonly RightEntry[] }
  return defaults.kafka_rights.flatMap(({ user, kind, names, operations }) => {
    const list = typeof names === 'string' ? defaults.kafka_topics_described : names
    return list.flatMap((name) => operations.map((operation) => `${user} ${kind.replace('-', ' ')} ${name} ${operation}`))
  })
}

function documentedRights (): string[] {
  const section = read('docs/cluster.md').split('\n## ').find((text) => text.startsWith('Rights in Kafka')) ?? ''
  return section.split('\n').flatMap((line) => {
    const [, role = '', kind = '', names = '', operations = ''] = line.split('|').map((cell) => cell.trim())
    const users = role === 'each role' ? ['gateway', 'aggregator', 'billing'] : ['gateway', 'aggregator', 'billing'].filter((user) => user === role)
    return users.flatMap((user) => [...names.matchAll(/`([^`]+)`/g)].flatMap(([, name = '']) => operations.split(', ').map((operation) => `${user} ${kind} ${name} ${operation}`)))
  })
}

test('Kafka\'s users get exactly the rights that docs/cluster.md names', () => {
  const roles = /^(?:gateway|aggregator|billing) /
  const given = playbookRights().filter((right) => roles.test(right)).sort()
  assert.ok(given.length > 40, `the list was not understood: ${given.length} rights`)
  assert.deepEqual(given, documentedRights().sort())
})

test('bin/load knows the ports that the playbooks use', () => {
  const derived = parse(read('ansible/group_vars/all.yml')) as Readonly<Record<string, unknown>>
  const source = read('load/inventory.ts')
  const constant = (name: string): number => Number(new RegExp(`const ${name} = (\\d+)`).exec(source)?.[1])
  assert.equal(constant('billingPort'), derived['billing_port'])
  assert.equal(constant('gatewayOperatorPort'), (derived['operator_ports'] as { readonly gateway: number }).gateway)
  assert.equal(`{{ tollgate_gateway_port | default(${constant('gatewayPort')}) }}`, derived['cluster_gateway_port'])
})

test('each role has its parts', () => {
  const roles = globSync('ansible/roles/*', { cwd: root })
  assert.ok(roles.length >= 5)
  const parts = ['README.md', 'defaults/main.yml', 'meta/argument_specs.yml', ...['main', 'install', 'configure', 'restart_and_wait', 'health_check'].map((name) => `tasks/${name}.yml`)]
  assert.deepEqual(roles.flatMap((role) => parts.map((part) => `${role}/${part}`)).filter((file) => !existsSync(path.join(root, file))), [])
})

test('each role\'s variables are described', () => {
  for (const file of globSync('ansible/roles/*/defaults/main.yml', { cwd: root })) {
    const described = parse(read(file.replace('defaults/main.yml', 'meta/argument_specs.yml'))) as { readonly argument_specs: { readonly main: { readonly options: Readonly<Record<string, unknown>> } } }
    const names = Object.keys(parse(read(file)) as Readonly<Record<string, unknown>>).filter((name) => name !== 'kafka_topics_described')
    assert.deepEqual(names.filter((name) => !Object.hasOwn(described.argument_specs.main.options, name)), [], file)
  }
})

test('every playbook that docs/deploy.md names is there, and it names every one', () => {
  const named = new Set([...read('docs/deploy.md').matchAll(/playbooks\/([\w-]+\.yml)/g)].map(([, name]) => name ?? ''))
  const there = globSync('ansible/playbooks/*.yml', { cwd: root }).map((file) => path.basename(file)).filter((name) => name !== 'prepare.yml')
  assert.deepEqual([...named].sort(), there.sort())
})

/** Nobody but a test has a server without ILM. */
const testsOnly = ['elasticsearch_is_bare']

test('the example names every variable that may be left out', () => {
  const example = read('ansible/inventory/example/group_vars/all.yml')
  const optional = [...`${read('ansible/group_vars/all.yml')}${read('ansible/playbooks/vars/budget.yml')}`.matchAll(/\b(\w+) \| default\((?!\(|'NA')/g)].map(([, name = '']) => name).filter((name) => ![...testsOnly, 'virtualization_role', 'virtualization_type', 'first', 'last'].includes(name))
  assert.ok(optional.length >= 10)
  assert.deepEqual([...new Set(optional)].filter((name) => !new RegExp(`^(?:# )?${name}:`, 'm').test(example)), [])
})
