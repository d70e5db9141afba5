// Redis reads its append-only file as the user `default`, and leaves out each transaction of it that this user may not make: a
// user that was only switched off takes members and keys with it at the next start.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { startRedis } from '../services/redis.ts'

const template = readFileSync(path.resolve(import.meta.dirname, '../../ansible/roles/redis/templates/users.acl.j2'), 'utf8')
const [written = ''] = template.split('\n')

test('what a transaction has written is there after a restart, with the default user of the playbooks', async (t) => {
  assert.match(written, /^user default off /, 'nobody logs in as it')
  for (const [line, isKept] of [[written, true], ['user default off', false]] as const) {
    const redis = await startRedis(t, { isDurable: true, acl: [line, 'user admin on >admin-password ~* &* +@all'] })
    await redis.command('EVAL', 'return redis.call("SET", KEYS[1], "one")', '1', 'alone')
    await redis.command('EVAL', 'redis.call("SET", KEYS[1], "one"); redis.call("SET", KEYS[2], "two")', '2', 'first', 'second')
    await redis.kill()
    await redis.start()
    assert.equal(await redis.command('EXISTS', 'alone', 'first', 'second'), isKept ? 3 : 1, line)
    await assert.rejects(async () => { await redis.command('AUTH', 'default', ''); throw new Error('logged in') }, /WRONGPASS|NOAUTH/)
  }
})
