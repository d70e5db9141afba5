import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { ConfigError, loadConfig } from '../../../src/config/load.ts'
import { readSecretFile } from '../../../src/config/secret-file.ts'
import { machine, openConfigFolder, soundConfig } from '../../helpers/config-folder.ts'

const good = 'a-secret-of-more-than-thirty-two-characters'

test('a secret\'s file is read without the line break at its end', (t) => {
  const { write } = openConfigFolder(t)
  for (const text of [good, `${good}\n`, `${good}\r\n`]) assert.deepEqual(readSecretFile(write('s', text)), { secret: good })
  for (const mode of [0o600, 0o400, 0o640, 0o440]) assert.deepEqual(readSecretFile(write(`s${mode}`, good, mode)), { secret: good })
})

test('a file that others can read or change is refused', (t) => {
  const { write } = openConfigFolder(t)
  for (const mode of [0o644, 0o604, 0o602, 0o660, 0o777, 0o601]) {
    const read = readSecretFile(write(`s${mode}`, good, mode))
    assert.ok('message' in read, mode.toString(8))
    assert.match(read.message, /open to other users/)
    assert.match(read.remedy, /chmod 600/)
    assert.ok(!JSON.stringify(read).includes(good))
  }
})

test('what is no secret is refused', (t) => {
  const { folder, write } = openConfigFolder(t)
  for (const [file, message] of [
    [path.join(folder, 'none'), /ENOENT/], [folder, /no file/], [write('lines', `${good}\n${good}\n`), /more than one line/], [write('nul', `${good}\0`), /control/],
    [write('binary', Buffer.from([0xff, 0xff])), /no text/], [write('huge', 'x'.repeat(5000)), /5000 bytes/]
  ] as const) {
    const read = readSecretFile(file)
    assert.ok('message' in read, file)
    assert.match(read.message, message)
  }
})

test('a weak secret, or two for one, is refused without showing it', (t) => {
  const weak = openConfigFolder(t)
  weak.write('api.secret', 'thirty-one-characters-are-few-x\n')
  assert.throws(() => loadConfig({ file: weak.file, env: {}, machine }), (error) => {
    assert.ok(error instanceof ConfigError)
    assert.deepEqual(error.problems.map(({ path: where, message }) => `${where}: ${message}`), ['auth.secrets[0].secretFile: 31 characters are too few'])
    assert.ok(!error.message.includes('thirty-one'))
    return true
  })
  const twice = openConfigFolder(t, soundConfig.replace('secretFile: api.secret', `secretFile: api.secret, secret: ${good}`))
  assert.throws(() => loadConfig({ file: twice.file, env: {}, machine }), (error) => {
    assert.match((error as Error).message, /given twice/)
    assert.ok(!(error as Error).message.includes(good))
    return true
  })
  const spaced = openConfigFolder(t)
  spaced.write('payment.token', 'a bearer token of more than 32 characters')
  assert.throws(() => loadConfig({ file: spaced.file, env: {}, machine }), /operatorTokens\[0\]\.tokenFile: has characters/)
})

test('a secret in the configuration file itself is taken, with a warning that doesn\'t show it', (t) => {
  const { file } = openConfigFolder(t, soundConfig.replace('secretFile: api.secret', `secret: ${good}`))
  const { config, warnings } = loadConfig({ file, env: {}, machine })
  assert.equal(config.auth.secrets[0]?.secret, good)
  assert.equal(warnings.length, 1)
  assert.ok(!warnings.join().includes(good))
})
