// Logstash can't be run here: its pipeline is read by the grammar of its language, and every plugin and option is looked up in
// a list made from Elastic's reference of Logstash 8. A list can't say that the pipeline does what it should.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { logstashPipeline } from '../../../monitoring/source/logstash.ts'
import { eventFields } from '../../../src/domain/event-fields.ts'

const common = { filter: ['add_field', 'remove_field', 'add_tag', 'remove_tag', 'id'], input: ['add_field', 'codec', 'id', 'tags', 'type'], output: ['codec', 'id'] }
/** Options of each plugin beside the common ones. */
const known: Readonly<Record<string, readonly string[]>> = {
  'input kafka': ['auto_offset_reset', 'bootstrap_servers', 'client_id', 'consumer_threads', 'decorate_events', 'group_id', 'isolation_level', 'sasl_jaas_config', 'sasl_mechanism', 'security_protocol', 'ssl_truststore_location', 'ssl_truststore_type', 'topics'],
  'filter drop': ['percentage'],
  'filter mutate': ['convert', 'copy', 'gsub', 'rename', 'replace', 'update'],
  'filter date': ['locale', 'match', 'tag_on_failure', 'target', 'timezone'],
  'filter geoip': ['cache_size', 'database', 'default_database_type', 'ecs_compatibility', 'fields', 'source', 'tag_on_failure', 'target'],
  'output file': ['create_if_deleted', 'file_mode', 'flush_interval', 'gzip', 'path', 'write_behavior'],
  'output elasticsearch': ['action', 'cacert', 'document_id', 'hosts', 'ilm_enabled', 'index', 'manage_template', 'password', 'pipeline', 'ssl_certificate_authorities', 'ssl_enabled', 'user']
}

interface Plugin { readonly section: string, readonly name: string, readonly options: readonly string[] }

/** Reads the whole text or throws: sections, branches with conditions, plugins, options with their values. */
function pluginsOf (text: string): Plugin[] {
  const tokens = [...text.matchAll(/#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|=>|==|!=|=~|\[[^\][]+\](?:\[[^\][]+\])*|[{}[\](),!]|[\w.-]+|\S/g)].map(([token]) => token).filter((token) => !token.startsWith('#'))
  let at = 0
  const next = (): string => tokens[at++] ?? 'the end'
  const expect = (token: string): void => { const found = next(); if (found !== token) throw new Error(`${token} expected, ${found} found after ${tokens.slice(Math.max(0, at - 6), at - 1).join(' ')}`) }
  const found: Plugin[] = []
  const value = (): void => {
    const token = next()
    if (token === '{') while (tokens[at] !== '}') { value(); expect('=>'); value() }
    else if (!/^(?:["']|[\w.-]+$|\["[^\]]*"\]$)/.test(token)) throw new Error(`${token} is no value`)
    if (token === '{') expect('}')
  }
  const block = (section: string): void => {
    expect('{')
    while (tokens[at] !== '}') {
      const name = next()
      if (name === 'if') { while (tokens[at] !== '{') condition(next()); block(section) } else if (name === 'else') block(section)
      else if (/^\w+$/.test(name)) found.push({ section, name, options: optionsOf() })
      else throw new Error(`${name} is no plugin`)
    }
    expect('}')
  }
  const condition = (token: string): void => { if (!/^(?:"|==|!=|=~|\[|[()!]$|and$|or$|in$|not$)/.test(token)) throw new Error(`${token} in a condition`) }
  const optionsOf = (): string[] => {
    const options: string[] = []
    expect('{')
    while (tokens[at] !== '}') {
      options.push(next())
      expect('=>')
      value()
    }
    expect('}')
    return options
  }
  while (at < tokens.length) block(next())
  return found
}

for (const isSecured of [false, true]) {
  test(`the ${isSecured ? 'secured' : 'plain'} pipeline can be read, and every plugin and option of it is one that Logstash has`, () => {
    const plugins = pluginsOf(logstashPipeline({ isSecured }))
    assert.deepEqual(plugins.map(({ section, name }) => `${section} ${name}`), ['input kafka', 'filter drop', 'filter mutate', 'filter date', 'filter mutate', 'filter mutate', 'filter geoip', 'filter mutate', 'filter mutate', 'output file', 'output elasticsearch'])
    for (const { section, name, options } of plugins) {
      const allowed = [...known[`${section} ${name}`] ?? [], ...common[section as keyof typeof common]]
      assert.deepEqual(options.filter((option) => !allowed.includes(option)), [], `${section} ${name}`)
    }
  })
}

test('a pipeline that is not closed, or has a value missing, is not read', () => {
  const text = logstashPipeline()
  for (const broken of [text.trimEnd().slice(0, -1), text.replace('consumer_threads => 1', 'consumer_threads =>'), text.replace('drop {}', 'drop')]) assert.throws(() => pluginsOf(broken))
})

test('the first system\'s settings are kept', () => {
  const text = logstashPipeline()
  for (const setting of ['group_id => "api_usage_logstash"', 'consumer_threads => 1', 'codec => "json"', 'decorate_events =>', 'user => "logstash_internal"', '${LOGSTASH_INTERNAL_PASSWORD}', 'document_id =>', '"event"']) assert.ok(text.includes(setting), setting)
  for (const [, field = ''] of text.matchAll(/%\{(\w+)\}/g)) assert.ok(Object.hasOwn(eventFields, field), field)
})
