// What of a new configuration a running program takes, and what it leaves.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadConfig } from '../../../src/config/load.ts'
import { mergeConfig, reloadedKeys } from '../../../src/config/reload.ts'
import { configSetting } from '../../../src/config/schema.ts'
import type { Config } from '../../../src/config/schema.ts'
import type { Setting } from '../../../src/config/setting.ts'
import { machine, openConfigFolder, soundConfig } from '../../helpers/config-folder.ts'
import { testCertificate, testKey } from '../../helpers/raw-http-certificate.ts'

type Values = Readonly<Record<string, unknown>>

/** Every value of the configuration that is not a group, by its path. */
function leaves (setting: Setting, value: unknown, path: string): readonly string[] {
  if (setting.kind !== 'group' || value === undefined) return [path]
  return Object.entries(setting.properties).flatMap(([key, property]) => leaves(property, (value as Values)[key], path === '' ? key : `${path}.${key}`))
}

function withValue (config: Config, path: string, value: unknown): Config {
  const copy = structuredClone(config)
  const steps = path.split('.')
  let at = copy as unknown as Record<string, unknown>
  for (const step of steps.slice(0, -1)) at = at[step] as Record<string, unknown>
  at[steps.at(-1) as string] = value
  return copy
}

const at = (config: Config, path: string): unknown => path.split('.').reduce<unknown>((value, step) => (value as Values | undefined)?.[step], config)

test('each key is taken or left, alone and with all others, and none is lost', (t) => {
  const { file, write } = openConfigFolder(t, `${soundConfig.replace('gateway:', 'gateway:\n  listen: { tls: { certificateFile: c.pem, keyFile: k.pem, clientCaFile: c.pem } }')}operator: { listen: { tls: { certificateFile: c.pem, keyFile: k.pem } } }\n`)
  write('c.pem', testCertificate)
  write('k.pem', testKey)
  const { config } = loadConfig({ file, env: {}, machine })
  const paths = leaves(configSetting, config, '')
  assert.ok(paths.length > 60)
  const isTaken = (path: string): boolean => reloadedKeys.some((key) => path === key || path.startsWith(`${key}.`))
  let everything = config
  for (const path of paths) {
    const next = withValue(config, path, 'another')
    everything = withValue(everything, path, 'another')
    const { config: merged, changed, needsRestart } = mergeConfig(config, next)
    assert.equal(at(merged, path), isTaken(path) ? 'another' : at(config, path), path)
    assert.deepEqual([changed.length, needsRestart.length], isTaken(path) ? [1, 0] : [0, 1], path)
    assert.equal(JSON.stringify(withValue(merged, path, at(config, path))), JSON.stringify(config), path)
  }
  const { config: merged, changed, needsRestart } = mergeConfig(config, everything)
  assert.deepEqual([...changed].sort(), [...reloadedKeys].sort())
  assert.deepEqual(needsRestart, paths.filter((path) => !isTaken(path)))
  for (const path of paths) assert.equal(at(merged, path), isTaken(path) ? 'another' : at(config, path), path)
})

test('a port whose clients must show a certificate stays one, and the other way round', (t) => {
  const { file, write } = openConfigFolder(t, soundConfig.replace('gateway:', 'gateway:\n  listen: { tls: { certificateFile: c.pem, keyFile: k.pem } }'))
  write('c.pem', testCertificate)
  write('k.pem', testKey)
  const { config } = loadConfig({ file, env: {}, machine })
  const mutual = withValue(config, 'gateway.listen.tls.clientCaFile', '/ca.pem')
  for (const [from, to] of [[config, mutual], [mutual, config]] as const) {
    const { config: merged, changed, needsRestart } = mergeConfig(from, to)
    assert.deepEqual([at(merged, 'gateway.listen.tls.clientCaFile'), changed, needsRestart], [at(from, 'gateway.listen.tls.clientCaFile'), [], ['gateway.listen.tls.clientCaFile']])
  }
  assert.deepEqual(mergeConfig(mutual, withValue(config, 'gateway.listen.tls.clientCaFile', '/other.pem')).changed, ['gateway.listen.tls.clientCaFile'])
})

test('the same file, read again, changes nothing', (t) => {
  const loaded = loadConfig({ file: openConfigFolder(t).file, env: {}, machine })
  const { config, changed, needsRestart } = mergeConfig(loaded.config, loaded.again().config)
  assert.deepEqual([config, changed, needsRestart], [loaded.config, [], []])
})
