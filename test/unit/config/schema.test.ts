// The schema, its page, its JSON Schema and the example say the same.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { Value } from 'typebox/value'
import { parse } from 'yaml'
import { configJsonSchema } from '../../../src/config/json-schema.ts'
import { loadConfig } from '../../../src/config/load.ts'
import type { LoadedConfig } from '../../../src/config/load.ts'
import { configMarkdown } from '../../../src/config/markdown.ts'
import { redactConfig, redacted } from '../../../src/config/redact.ts'
import { configSetting } from '../../../src/config/schema.ts'
import type { Setting } from '../../../src/config/setting.ts'
import { eventFrameBytesMax, segmentUnitBytes } from '../../../src/config/limits.ts'
import { embeddedPartitions } from '../../../src/compose/thread-options.ts'
import { eventBytesMax, eventChainBytesMax, unitsMax } from '../../../src/domain/usage-event.ts'
import { segmentBytesMax } from '../../../src/journal/memory.ts'
import { frameBytesFor } from '../../../src/journal/options.ts'
import { ringBytesMax } from '../../../src/journal/ring.ts'
import { statementBytesMax } from '../../../src/journal/writer.ts'
import { burstMax } from '../../../src/limiter/gcra.ts'
import { machine, openConfigFolder } from '../../helpers/config-folder.ts'
import { testCertificate, testKey } from '../../helpers/raw-http-certificate.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const example = readFileSync(path.join(root, 'tollgate.example.yaml'), 'utf8')
const prices = readFileSync(path.join(root, 'prices.example.yaml'), 'utf8')
/** The example with every key that is commented out taken in: `#key` without a space is a key, `# text` is prose. */
const uncommented = example.replace(/^( *)#(?=\S)/gm, '$1')

function loadExample (t: TestContext, text: string): LoadedConfig {
  // A key for https:// stands beside an address of http://.
  const { file, write } = openConfigFolder(t, text.replace('url: http://', 'url: https://').replace('url: "http://', 'url: "https://'))
  write('prices.example.yaml', prices)
  for (const name of ['api.secret', 'member.secret', 'payment.token', 'files.token', 'admin.token', 'gateway.secret', 'kafka.password', 'redis.password']) write(`secrets/${name}`, `example-${name}-of-more-than-32-characters`)
  for (const [name, pem] of [['certificate', testCertificate], ['key', testKey], ['ca', testCertificate]] as const) write(`tls/${name}.pem`, pem)
  return loadConfig({ file, env: {}, machine })
}

test('the example is sound and says nothing odd, as it stands and with every key taken in', (t) => {
  assert.deepEqual(loadExample(t, example).warnings, [])
  assert.deepEqual(loadExample(t, uncommented).warnings, [])
})

test('what the example shows commented out is the default', (t) => {
  const [plain, full] = [example, uncommented].map((text) => loadExample(t, text).config) as [LoadedConfig['config'], LoadedConfig['config']]
  // Where there is no default the example shows an example.
  const { rewrite, requestBytesMax, headerBytesMax, headersMax, cors, ...route } = full.gateway.routes[0] as LoadedConfig['config']['gateway']['routes'][0]
  assert.ok(rewrite !== undefined && requestBytesMax !== undefined && headerBytesMax !== undefined && headersMax !== undefined && cors !== undefined)
  const { tls: upstreamTls, secretHeader, ...upstream } = full.gateway.upstreams['main'] as LoadedConfig['config']['gateway']['upstreams'][string]
  assert.ok(upstreamTls !== undefined && secretHeader !== undefined)
  const { kid, ...secret } = full.auth.secrets[0] as LoadedConfig['config']['auth']['secrets'][0]
  assert.ok(kid !== undefined)
  const { tls, ...listen } = full.gateway.listen
  const { tls: operatorTls, ...operatorListen } = full.operator.listen
  assert.ok(tls !== undefined && operatorTls !== undefined)
  const { kafka, redis, ...single } = full
  assert.ok(kafka !== undefined && redis !== undefined && full.aggregators.length > 0 && full.archive.peers.length > 0 && full.operator.tokens.length > 0 && full.operator.admins.length > 0)
  const same = { ...single, aggregators: [], archive: { ...full.archive, peers: [] }, operator: { listen: operatorListen, tokens: [], admins: [] }, state: plain.state, gateway: { ...full.gateway, listen, upstreams: { main: upstream }, routes: [route, ...full.gateway.routes.slice(1)] }, auth: { ...full.auth, secrets: [secret] }, billing: { ...full.billing, priceBookFile: plain.billing.priceBookFile } }
  assert.deepEqual(same, plain)
})

test('the example has every key of the schema', () => {
  const missing: string[] = []
  const walk = (setting: Setting, value: unknown, where: string): void => {
    switch (setting.kind) {
      case 'group':
        for (const [key, property] of Object.entries(setting.properties)) {
          const fields = (value ?? {}) as Record<string, unknown>
          const given = fields[key] ?? (property.kind === 'text' && property.secretFile !== undefined ? fields[property.secretFile] : undefined)
          if (given === undefined) missing.push(`${where}${key}`)
          else walk(property, given, `${where}${key}.`)
        }
        break
      case 'list': walk(setting.items, (value as unknown[])[0] ?? {}, where); break
      case 'map': walk(setting.values, Object.values(value as object)[0], where); break
      default:
    }
  }
  walk(configSetting, parse(uncommented), '')
  assert.deepEqual(missing, [])
})

test('each key of the example has words before it, or before the keys that it stands with', () => {
  const lines = example.split('\n')
  const silent = lines.filter((line, at) => {
    if (!/^ *#\S/.test(line)) return false
    for (let before = at - 1; before >= 0; before--) {
      if (/^ *# /.test(lines[before] as string)) return false
      if (!/^ *(#\S|[\w]+:)/.test(lines[before] as string)) return true
    }
    return true
  })
  assert.deepEqual(silent, [])
})

test('docs/configuration.md is written from the schema', () => {
  assert.equal(readFileSync(path.join(root, 'docs/configuration.md'), 'utf8'), configMarkdown(), 'run: bin/tollgate config schema --markdown > docs/configuration.md')
})

test('every setting has a description that is a sentence, and a default within its own bounds', () => {
  const wrong: string[] = []
  const walk = (setting: Setting, where: string): void => {
    if (!/^[A-Z`0-9].*\.$/s.test(setting.description)) wrong.push(`${where}: ${setting.description}`)
    switch (setting.kind) {
      case 'group': for (const [key, property] of Object.entries(setting.properties)) walk(property, `${where}.${key}`); break
      case 'list': walk(setting.items, `${where}[]`); break
      case 'map': walk(setting.values, `${where}.NAME`); break
      case 'either': walk(setting.scalar, where); walk(setting.group, where); break
      case 'integer': if (setting.minimum > setting.maximum || (typeof setting.default === 'number' && (setting.default < setting.minimum || setting.default > setting.maximum))) wrong.push(`${where}: bounds`); break
      default:
    }
  }
  walk(configSetting, 'config')
  assert.deepEqual(wrong, [])
})

test('bounds that other parts have too are theirs', () => {
  const journal = { partitions: embeddedPartitions, eventBytesMax }
  assert.equal(frameBytesFor(journal, segmentUnitBytes), eventFrameBytesMax)
  const properties = (configSetting.properties['journal'] as Setting & { kind: 'group' }).properties as Record<string, Setting & { kind: 'size' }>
  assert.ok(properties['segmentBytes']?.maximum === segmentBytesMax && properties['segmentBytes'].minimum >= 2 * statementBytesMax)
  assert.ok((properties['commitBytesMax']?.minimum ?? 0) >= eventBytesMax + eventChainBytesMax)
  assert.ok((properties['ringBytes']?.minimum ?? 0) >= 16 * (eventBytesMax + eventChainBytesMax) && (properties['ringBytes']?.maximum ?? Infinity) <= ringBytesMax)
  const { requestedTokens, units } = ((configSetting.properties['gateway'] as Setting & { kind: 'group' }).properties['routes'] as unknown as { items: { properties: Record<string, { maximum: number, scalar: { maximum: number } }> } }).items.properties as Record<'requestedTokens' | 'units', { maximum: number, scalar: { maximum: number } }>
  assert.equal(units.scalar.maximum, unitsMax)
  assert.equal(requestedTokens.maximum, burstMax)
})

test('the JSON Schema takes the example and refuses what the program refuses', () => {
  const schema = configJsonSchema() as never
  for (const text of [example, uncommented]) assert.deepEqual([...Value.Errors(schema, parse(text))], [])
  const broken = (change: (document: Record<string, Record<string, unknown>>) => void): unknown => { const document = parse(uncommented) as Record<string, Record<string, unknown>>; change(document); return document }
  for (const document of [
    broken((document) => { (document as Record<string, unknown>)['stat'] = 'x' }),
    broken((document) => { (document['metering'] as Record<string, unknown>)['ack'] = 'durabel' }),
    broken((document) => { (document['journal'] as Record<string, unknown>)['bytesMax'] = '12XB' }),
    broken((document) => { (document['gateway'] as Record<string, unknown>)['workers'] = 65 }),
    broken((document) => { delete (document['billing'] as Record<string, unknown>)['priceBookFile'] }),
    broken((document) => { document['auth'] = { secrets: [{ kid: 'a' }] } }),
    broken((document) => { document['auth'] = { secrets: [{ secret: 'x'.repeat(32), secretFile: 'x' }] } })
  ]) assert.equal(Value.Check(schema, document), false)
})

test('a configuration is shown without its secrets, and what is shown can be loaded again', (t) => {
  const { config } = loadExample(t, uncommented)
  const shown = redactConfig(config)
  const text = JSON.stringify(shown)
  assert.ok(!/example-(api|member|payment|files|admin|gateway|kafka|redis)/.test(text))
  assert.equal(text.split(redacted).length - 1, 10)
  const again = loadExample(t, JSON.stringify(shown).replaceAll(redacted, 'another-secret-of-more-than-32-characters'))
  assert.deepEqual(redactConfig(again.config), shown)
})
