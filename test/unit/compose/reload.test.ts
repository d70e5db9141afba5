// All or nothing: whatever a part is refused with, nothing is put in force anywhere, and what was prepared is forgotten.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { openReloader } from '../../../src/compose/reload.ts'
import type { ReloadPart, Reloader } from '../../../src/compose/reload.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { TollgateError } from '../../../src/domain/errors.ts'
import { openLogger } from '../../../src/platform/logger.ts'
import { machine, openConfigFolder, soundConfig, soundPrices } from '../../helpers/config-folder.ts'
import type { ConfigFolder } from '../../helpers/config-folder.ts'

interface Open { readonly folder: ConfigFolder, readonly reloader: Reloader, readonly said: string[], failing: { prepare: Error | undefined } }

function open (t: TestContext): Open {
  const folder = openConfigFolder(t)
  const said: string[] = []
  const failing: Open['failing'] = { prepare: undefined }
  const part = (name: string): ReloadPart => ({
    prepare: async ({ config }) => {
      await new Promise(setImmediate)
      said.push(`${name} prepares ${config.gateway.requestBytesMax}`)
      if (name === 'second' && failing.prepare !== undefined) throw failing.prepare
    },
    commit: async () => { await new Promise(setImmediate); said.push(`${name} commits`) },
    abort: async () => { said.push(`${name} aborts`) }
  })
  const reloader = openReloader({ loaded: loadConfig({ file: folder.file, env: {}, machine }), parts: ['first', 'second', 'third'].map(part), log: openLogger({ level: 'silent', thread: 'test' }), nowMs: () => Date.now() })
  return { folder, reloader, said, failing }
}

const withSize = (bytes: number): string => soundConfig.replace('gateway:', `gateway:\n  requestBytesMax: ${bytes}`)
const counts = (reloader: Reloader): readonly number[] => reloader.metrics()[0]?.values.map(({ value }) => value) ?? []

test('all are prepared before the first commits', async (t) => {
  const { folder, reloader, said } = open(t)
  folder.write('tollgate.yaml', withSize(1))
  assert.deepEqual((await reloader.reload()).changed, ['gateway.requestBytesMax'])
  assert.deepEqual(said, ['first prepares 1', 'second prepares 1', 'third prepares 1', 'first commits', 'second commits', 'third commits'])
  assert.equal(reloader.inForce().config.gateway.requestBytesMax, 1)
})

test('one that can\'t be prepared: nobody commits, and all forget', async (t) => {
  const { folder, reloader, said, failing } = open(t)
  folder.write('tollgate.yaml', withSize(1))
  for (const error of [new TollgateError('CONFIG_INVALID', 'no'), new Error('broken')]) {
    failing.prepare = error
    said.length = 0
    await assert.rejects(reloader.reload(), error)
    assert.deepEqual(said, ['first prepares 1', 'second prepares 1', 'first aborts', 'second aborts', 'third aborts'])
    assert.equal(reloader.inForce().config.gateway.requestBytesMax, 10 * 2 ** 20)
  }
  failing.prepare = undefined
  assert.deepEqual((await reloader.reload()).changed, ['gateway.requestBytesMax'])
  assert.deepEqual(counts(reloader), [1, 1, 1])
})

test('two at a time are made one after the other, each with the file as it is then', async (t) => {
  const { folder, reloader, said } = open(t)
  folder.write('tollgate.yaml', withSize(1))
  const first = reloader.reload()
  const second = reloader.reload()
  await first
  folder.write('tollgate.yaml', withSize(2))
  await second
  assert.deepEqual(said.filter((line) => line.startsWith('first')), ['first prepares 1', 'first commits', 'first prepares 2', 'first commits'])
  folder.write('tollgate.yaml', 'no: [')
  await assert.rejects(reloader.reload(), { code: 'CONFIG_INVALID' })
  folder.write('tollgate.yaml', withSize(3))
  assert.deepEqual((await reloader.reload()).changed, ['gateway.requestBytesMax'])
})

test('prices are told by what they say, not by their file\'s name; what needs a restart stays', async (t) => {
  const { folder, reloader } = open(t)
  folder.write('prices.yaml', soundPrices.replace('cost: 3', 'cost: 4'))
  assert.deepEqual((await reloader.reload()).changed, ['billing.priceBookFile'])
  assert.deepEqual((await reloader.reload()).changed, [])
  folder.write('tollgate.yaml', `${withSize(5)}state: ./elsewhere\n`)
  const answer = await reloader.reload()
  assert.deepEqual([answer.changed, answer.needsRestart], [['gateway.requestBytesMax'], ['state']])
  assert.match(reloader.inForce().config.state, /state$/)
  // It is told again each time, until the restart.
  assert.deepEqual((await reloader.reload()).needsRestart, ['state'])
})
