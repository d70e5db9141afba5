// What a power cut leaves at the end of Redis' append-only file, and what `ansible/` runs before each start of Redis about it.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { startRedis } from '../services/redis.ts'

const trimAof = path.resolve(import.meta.dirname, '../../ansible/roles/redis/files/trim-aof')

test('zeros at the end, with which Redis doesn\'t start, are taken off, and nothing else is', async (t) => {
  const redis = await startRedis(t, { isDurable: true })
  for (let key = 0; key < 100; key++) await redis.command('SET', `key ${key}`, 'a\0value\0')
  const [, folder] = await redis.command('CONFIG', 'GET', 'dir') as readonly [string, string]
  await redis.kill()
  const files = path.join(folder, 'appendonlydir')
  const newest = path.join(files, readdirSync(files).find((name) => name.endsWith('.incr.aof')) ?? '')
  const before = readFileSync(newest)
  // A command whose end never came, and more zeros than are read at a time.
  const torn = '*3\r\n$3\r\nSET\r\n$7\r\nkey 100\r\n$5\r\nva'
  appendFileSync(newest, Buffer.concat([Buffer.from(torn), Buffer.alloc(100_000)]))
  await assert.rejects(redis.start(), /Bad file format/)
  await redis.stop()
  assert.match(execFileSync(trimAof, [files], { encoding: 'utf8' }), /100000 zeros at the end/)
  assert.deepEqual(readFileSync(newest), Buffer.concat([before, Buffer.from(torn)]))
  await redis.start()
  assert.equal(await redis.command('DBSIZE'), 100)
  assert.equal(await redis.command('GET', 'key 99'), 'a\0value\0')
  assert.equal(execFileSync(trimAof, [files], { encoding: 'utf8' }), '', 'there is nothing more to do')
})

test('there is no file yet', () => {
  assert.equal(execFileSync(trimAof, ['/nowhere'], { encoding: 'utf8' }), '')
})
