import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { isDamage, isGivenUp, openDuckDb, sqlText } from '../../../src/platform/duckdb.ts'
import type { SqlConnection } from '../../../src/platform/duckdb.ts'
import { temporaryFolder } from '../../helpers/aggregator-rig.ts'

async function connect (t: TestContext): Promise<{ readonly connection: SqlConnection, readonly file: string, readonly copyTo: (target: string) => void }> {
  const file = path.join(temporaryFolder(t, 'duckdb'), 'sub', 'test.duckdb')
  const duckDb = await openDuckDb({ file, memoryBytesMax: 64 * 2 ** 20, threads: 1 })
  const connection = await duckDb.connect()
  t.after(() => {
    connection.close()
    duckDb.close()
  })
  return { connection, file, copyTo: duckDb.copyTo }
}

test('memory and threads are bounded, nothing is downloaded, and what doesn\'t fit stays beside the file', async (t) => {
  const { connection, file } = await connect(t)
  const rows = await connection.rows<{ name: string, value: string }>('SELECT name, value FROM duckdb_settings()')
  const setting = Object.fromEntries(rows.map(({ name, value }) => [name, value]))
  assert.deepEqual([setting['autoinstall_known_extensions'], setting['autoload_known_extensions'], setting['allow_community_extensions']], ['false', 'false', 'false'])
  assert.deepEqual([setting['threads'], setting['memory_limit'], setting['temp_directory']], ['1', '64.0 MiB', `${file}.tmp`])
})

test('a transaction is whole or nothing, and says why', async (t) => {
  const { connection } = await connect(t)
  await connection.run('CREATE TABLE numbers (number BIGINT PRIMARY KEY)')
  assert.equal(await connection.transaction(async () => await connection.run('INSERT INTO numbers VALUES (1), (2)')), 2)
  await assert.rejects(connection.transaction(async () => {
    await connection.run('INSERT INTO numbers VALUES (3)')
    await connection.run('INSERT INTO numbers VALUES (1)')
  }), /[Dd]uplicate key/)
  assert.deepEqual(await connection.rows('SELECT number FROM numbers ORDER BY number'), [{ number: 1n }, { number: 2n }])
  assert.equal(await connection.runKept('UPDATE numbers SET number = $2 WHERE number = $1', [2, 5]), 1)
  assert.deepEqual(await connection.rowsKept('SELECT number FROM numbers WHERE number > $1', [1]), [{ number: 5n }])
})

test('a file that isn\'t a database is damage; a mistake in a statement is not', async (t) => {
  const file = path.join(temporaryFolder(t, 'duckdb'), 'x.duckdb')
  writeFileSync(file, 'x'.repeat(20_000))
  const error = await openDuckDb({ file, memoryBytesMax: 64 * 2 ** 20, threads: 1 }).then(() => undefined, (reason: unknown) => reason)
  assert.ok(isDamage(error), String(error))
  const { connection } = await connect(t)
  const mistake = await connection.run('SELECT nothing').then(() => undefined, (reason: unknown) => reason)
  assert.ok(mistake instanceof Error && !isDamage(mistake) && !isGivenUp(mistake))
  assert.ok(isGivenUp(new Error('FATAL Error: Failed: database has been invalidated because of a previous fatal error')))
})

test('a text is a literal, whatever is in it', async (t) => {
  const { connection, file } = await connect(t)
  const text = 'it\'s; DROP TABLE x --'
  assert.deepEqual(await connection.rows(`SELECT ${sqlText(text)} AS text`), [{ text }])
  assert.ok(existsSync(file))
})

test('a copy has everything that was committed, also what stands in the write-ahead log; the file stays locked', async (t) => {
  const { connection, file, copyTo } = await connect(t)
  await connection.run('CREATE TABLE numbers (number BIGINT PRIMARY KEY); CHECKPOINT')
  await connection.run('INSERT INTO numbers SELECT * FROM range(1000)')
  assert.ok(existsSync(`${file}.wal`))
  const copies = [1, 2].map((index) => `${file}.copy-${index}`)
  for (const copy of copies) copyTo(copy)
  for (const copy of copies) {
    const copied = await openDuckDb({ file: copy, memoryBytesMax: 64 * 2 ** 20, threads: 1 })
    const reader = await copied.connect()
    assert.deepEqual(await reader.rows('SELECT count(*) AS numbers FROM numbers'), [{ numbers: 1000n }])
    reader.close()
    copied.close()
  }
  // Closing any descriptor of the file in this process would have opened it to others.
  const open = 'const { DuckDBInstance } = await import(process.argv[1]); try { (await DuckDBInstance.create(process.argv[2])).closeSync(); console.log("opened") } catch (error) { console.log(error.message) }'
  const told = execFileSync(process.execPath, ['--input-type=module', '--eval', open, import.meta.resolve('@duckdb/node-api'), file], { encoding: 'utf8' })
  assert.match(told, /lock/i)
})
